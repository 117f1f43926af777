"""Documents and code say the same."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from operator_cli import options

ROOT = Path(__file__).parents[3]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_generated_pages_are_what_the_code_says() -> None:
    """`python docs/generate.py` would change nothing."""
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for path, text in generate["pages"]().items():
        assert path.read_text() == text, f"{path.name} is stale: run python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    """Relative links, in every page."""
    for target in re.findall(r"\]\((?!https?:)([^)# ]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_flag_of_the_command_line_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """And every documented flag exists."""
    with pytest.raises(SystemExit):
        options.parse(["up", "--help"])
    real = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert set(re.findall(r"^\| `(--[a-z-]+)", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)) == real


@pytest.mark.parametrize("page", ["architecture.md", "security.md"])
def test_every_file_a_page_names_exists(page: str) -> None:
    """A page that names a file that has moved misleads."""
    named = re.findall(r"`((?:\w+/)+[\w.]*)`", (ROOT / "docs" / page).read_text())
    assert named
    for name in named:
        assert (ROOT / name).exists(), name
