"""How much to think: words of effort, and budgets in tokens, each read as the other where a dialect has only one of them.

The law: a word becomes the budget in this table and comes back as itself; a budget becomes the least word that covers it.
"""

from typing import Final

from relay_svc.dialects.form import Reasoning

BUDGETS: Final = {"minimal": 1024, "low": 4096, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 65536}
_OFF: Final = "none"


def is_off(reasoning: Reasoning) -> bool:
    """Tell whether no thinking is asked for."""
    return reasoning.effort == _OFF or reasoning.budget == 0


def effort_of(reasoning: Reasoning) -> str:
    """Give the effort; empty when it is left open."""
    if reasoning.effort or reasoning.budget is None:
        return reasoning.effort or ""
    if is_off(reasoning):
        return _OFF
    return next((word for word, budget in BUDGETS.items() if reasoning.budget <= budget), "max")


def budget_of(reasoning: Reasoning) -> int | None:
    """Give the budget; None when it is left open."""
    if reasoning.budget is not None:
        return reasoning.budget
    if is_off(reasoning):
        return 0
    return BUDGETS.get(reasoning.effort or "")
