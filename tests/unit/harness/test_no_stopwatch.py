"""No test measures seconds: the tests themselves are read for time limits, pauses and comparisons of elapsed time.

A busy machine makes every such number wrong one day. What a test waits for has the one deadline of tests/harness/waiting.py;
what must be quick is measured in work done, or shown by what has happened before it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
CLOCKS = {"monotonic", "perf_counter", "process_time", "time", "monotonic_ns", "perf_counter_ns"}
LIMIT_NAMES = {"timeout", "connect_timeout", "deadline", "ready_within"}
LIMITED = {"timeout", "timeout_at", "wait_for", "wait", "join", "eventually", "eventually_async"}
FIRST = {"timeout", "wait", "join"}
"""Of these, the ones whose limit is the first argument."""

ALLOWED = {
    "harness/waiting.py eventually": "the one place that pauses",
    "harness/waiting.py eventually_async": "the one place that pauses",
    "harness/waiting.py pace": "slowness is what is tested",
    "acceptance/upstreams.py answer": "an upstream that writes slowly",
    "chaos/test_clocks.py test_a_wall_clock_jumps_and_a_monotonic_one_goes_on": "bounded by the time that passed",
    "integration/relay_svc/test_patience.py test_the_only_channel_is_waited_for_as_long_as_it_asks": "a part and its whole",
    "integration/relay_svc/test_upstream_dialling.py test_dialling_that_is_cut_off_leaves_no_socket": "cut off on purpose",
    "integration/admin_svc/test_visibility.py visibility": "against the longest limit there is",
    "integration/relay_svc/test_upstream_limits.py in_time": "not before the limit, nor as late as a test waits",
    "integration/router_svc/test_disk_copies.py"
    " test_without_a_database_a_router_serves_from_its_copy_and_marks_what_it_says": "an age is no less than what passed",
    "simulation/nodes.py _trip": "virtual time",
    "unit/relay_svc/test_any_picks.py take": "virtual time",
    "unit/relay_svc/test_key_watch.py pick": "virtual time",
    "unit/relay_svc/test_key_watch.py request": "virtual time",
    "unit/relay_svc/test_key_watch.py test": "virtual time",
    "unit/relay_svc/test_key_watch.py test_short_requests_ask_nothing_and_many_of_one_key_ask_once": "virtual time",
    "unit/relay_svc/timed.py _pass": "virtual time",
    "unit/router_svc/test_cache.py"
    " test_each_renewal_of_the_lease_tells_the_time_by_which_api_keys_expire": "days are told from a minute",
    "unit/router_svc/test_keeper.py"
    " test_a_copy_says_when_its_state_was_last_known_to_be_the_head": "an age of a quarter of an hour",
}
"""What may be, by file and function, and why."""


def findings(source: str) -> Iterator[tuple[str, int, str]]:
    """Yields what measures seconds: the innermost function, the line, and what it is."""
    yield from _within(ast.parse(source), "", set())


def _within(node: ast.AST, function: str, elapsed: set[str]) -> Iterator[tuple[str, int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _within(child, child.name, _elapsed_names(child))
            continue
        what = _fault(child, elapsed)
        if what:
            yield function, getattr(child, "lineno", 0), what
        yield from _within(child, function, elapsed)


def _fault(node: ast.AST, elapsed: set[str]) -> str:
    if isinstance(node, ast.Compare) and any(_is_elapsed(part, elapsed) for part in (node.left, *node.comparators)):
        return "compares elapsed time"
    if not isinstance(node, ast.Call):
        return ""
    called = _name(node.func)
    if called == "sleep" and node.args and not _is(node.args[0], 0):
        return "pauses"
    limits = [word.value for word in node.keywords if word.arg in LIMIT_NAMES]
    limits += (
        [*node.args[1:2], *(node.args[:1] if called in {"timeout", "wait", "join"} else [])]
        if called in LIMITED
        else []
    )
    if any(
        isinstance(limit, ast.Constant) and isinstance(limit.value, int | float) and limit.value for limit in limits
    ):
        return "has a time limit of its own"
    return ""


def _elapsed_names(function: ast.AST) -> set[str]:
    """Names that hold a span of time."""
    spans = (node for node in ast.walk(function) if isinstance(node, ast.Assign) and _is_elapsed(node.value, set()))
    return {target.id for node in spans for target in node.targets if isinstance(target, ast.Name)}


def _is_elapsed(node: ast.AST, names: set[str]) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) and any(map(_reads_clock, ast.walk(part))):
            return True
        if isinstance(part, ast.Name) and part.id in names:
            return True
    return False


def _reads_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and not node.args and _name(node.func) in CLOCKS


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is(node: ast.AST, value: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def test_no_test_measures_seconds() -> None:
    """Except where it is said why, and every exception is still one."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS).as_posix()
        for function, line, what in findings(path.read_text(encoding="utf-8")):
            found.setdefault(f"{name} {function}", []).append(f"tests/{name}:{line}: {what}")
    assert [fault for place, faults in found.items() if place not in ALLOWED for fault in faults] == []
    assert [place for place in ALLOWED if place not in found] == []


@pytest.mark.parametrize(
    "code",
    [
        "assert time.monotonic() - began < 2.5",
        "took = perf_counter() - start\n    assert 1 < took",
        "assert max(time.monotonic() - began, slowest) < 1",
        "time.sleep(1)",
        "await asyncio.sleep(pause)",
        "async with asyncio.timeout(5): pass",
        "eventually(done, 10)",
        "stub.Pick(request, timeout=5)",
        "process.wait(30)",
        "await asyncio.wait_for(ready, 20)",
        "await asyncio.wait(tasks, timeout=2.0)",
        "pytest.mark.timeout(110)",
    ],
)
def test_what_measures_seconds_is_found(code: str) -> None:
    """Each in its own shape."""
    assert list(findings(f"async def test():\n    {code}"))


@pytest.mark.parametrize(
    "code",
    [
        "async with asyncio.timeout(PATIENCE): pass",
        "eventually(done)",
        "await asyncio.sleep(0)",
        "await pace(0.2)",
        "deadline = time.monotonic() + 5.0",
        "stub.Pick(request, timeout=PATIENCE)",
        "assert len(found) - seen < 3",
        "assert plan.age > 3",
    ],
)
def test_what_waits_for_a_condition_is_not(code: str) -> None:
    """Nor what gives a product its time."""
    assert not list(findings(f"async def test():\n    {code}"))
