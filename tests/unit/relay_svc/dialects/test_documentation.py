"""The tables of docs/dialects.md, against the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from relay_svc.dialects import Dialect, dropped
from relay_svc.dialects.efforts import BUDGETS
from tests.unit.relay_svc.dialects.features import FEATURES

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/dialects.md").read_text()
_CALLS = ("add", "essential")
_CONFIG = "generationConfig."


MADE = {"image.type", "file.type", "tools"}
"""Names that the code makes of a kind of file, or of a tool."""


def rows(heading: str) -> list[list[str]]:
    """Give the cells of the table under a heading."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(heading: str) -> set[str]:
    """Give the names in the first column of a table."""
    return {name for row in rows(heading) for name in re.findall(r"`([^`]+)`", row[0])}


def said(node: ast.AST) -> Iterator[str]:
    """Give the plain words in an expression."""
    return (each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str))


def names_in_code() -> dict[str, set[str]]:
    """Find the names of losses in the code, by how they are told."""
    found: dict[str, set[str]] = {"add": set(), "essential": set()}
    for path in (ROOT / "relay_svc/dialects").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in _CALLS and "losses" in ast.unparse(node.func.value):
                    found[node.func.attr].update(said(node.args[0]) if isinstance(node.args[0], ast.Constant) else ())
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
                if target == "wanted" and isinstance(node.value, ast.Dict):
                    found["add"].update(name for key in node.value.keys if key is not None for name in said(key))
    for dialect in Dialect:
        found["add"] |= dropped.HARMLESS[dialect]
        found["essential"] |= dropped.REFUSED[dialect].keys()
    found["essential"] |= {_CONFIG + name for name in dropped.CONFIG_REFUSED}
    assert min(map(len, found.values())) > 10  # the search still finds something
    return found


def test_the_table_of_features_is_what_the_tests_translate() -> None:
    """Each row is a feature, each mark a dialect that it is tested in."""
    shown = {row[0]: [bool(cell) for cell in row[1:]] for row in rows("What is carried")}
    assert shown == {feature.name: [dialect in feature.bodies for dialect in Dialect] for feature in FEATURES}


def test_every_loss_is_documented() -> None:
    """Each name that the code tells stands in the table, and each in the table can be told."""
    assert names("What is lost, by name") == names_in_code()["add"]


def test_every_refusal_is_documented() -> None:
    """Each name that refuses stands in the table, and each in the table can refuse."""
    assert names("What is refused") == names_in_code()["essential"] | MADE


def test_the_budgets_are_documented() -> None:
    """Words and numbers."""
    text = PAGE.replace("\n", " ")
    for word, budget in BUDGETS.items():
        assert re.search(rf"{word} {budget:,}", text)
