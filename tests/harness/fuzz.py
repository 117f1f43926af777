"""How many examples a property is tried on: a few in every run, many in a long proof.

Law: the suite's examples are always the same ones, so that a change is judged by what it changed; a long proof
(`--hypothesis-profile=prove`) draws new ones each time, and shows how to get a failing one back.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

PROVE = "prove"
MANY = 50_000
"""Examples of each property in a long proof; `--examples N` tries fewer."""


def register(many: int = MANY) -> None:
    """Make the profiles known."""
    # How long an example takes says how busy the machine is. All else is the default, or Hypothesis' own profile for CI.
    settings.register_profile(
        "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
    settings.register_profile(
        PROVE,
        max_examples=many,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        # Explaining a failure tries it hundreds of times over.
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )


def examples(few: int) -> settings:
    """Try a property on so many examples, always the same; on all that the profile says in a long proof."""
    if settings.get_current_profile_name() == PROVE:
        return settings()
    return settings(derandomize=True, deadline=None, max_examples=few)
