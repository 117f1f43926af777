"""What Anthropic's models take, by generation: how thinking is asked for, and which numbers of sampling may be said.

    before 4.1        a budget of thinking; temperature and top_p
    4.1 to 4.5        a budget; temperature or top_p
    4.6               a budget or what the model sees fit (adaptive), with efforts but `xhigh`; temperature or top_p
    4.7 and later     adaptive alone, with `xhigh`; none of temperature, top_p, top_k

The law: data, and pure. Verified in November 2026 against the vendor's migration guide, a large router's guide for the same
models, and errors reported to several open-source clients ("`temperature` and `top_p` cannot both be specified", and
"`temperature` is deprecated for this model"). A Claude whose name says no generation counts as the newest; what is called
otherwise is an imitation of the API, and gets a budget, which all of them know, and all that the caller said.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Ways:
    """What a model takes."""

    adaptive_thinking: bool
    xhigh: bool = False
    sampling: bool = True
    """Whether it takes temperature, top_p and top_k."""
    one_sampling: bool = False
    """Whether temperature and top_p exclude each other."""


_IMITATION: Final = Ways(adaptive_thinking=False)
_GENERATION: Final = re.compile(r"(?<![\d.])(\d{1,2})(?:[.-](\d{1,2}))?(?![\d.])")
"""`opus-4-5-20251101`, `claude-3-7-sonnet`, `claude-sonnet-4.6`, `claude-opus-4@20250514`: a date is no number of these."""
_OLD_NAMES: Final = ("claude-instant", "claude-v")
_ONE: Final = (4, 1)
_ADAPTIVE: Final = (4, 6)
_NEWEST: Final = (4, 7)


@lru_cache(maxsize=1024)
def ways_of(model: str) -> Ways:
    """Tell what a model takes by its name, with or without what a cloud puts before or behind it."""
    name = model.lower()
    if "claude" not in name:
        return _IMITATION
    if any(old in name for old in _OLD_NAMES):
        return Ways(adaptive_thinking=False)
    found = _GENERATION.search(name, name.index("claude"))
    generation = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    return Ways(
        adaptive_thinking=generation >= _ADAPTIVE,
        xhigh=generation >= _NEWEST,
        sampling=generation < _NEWEST,
        one_sampling=_ONE <= generation < _NEWEST,
    )
