"""The page of findings says what the code says, and every kind of finding is shown to be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from awac_tr.data.validation.codes import FAMILIES, KINDS

ROW = re.compile(r"^\| `([a-z-]+)` \|")


@pytest.fixture(scope="session")
def page(repository: Path) -> str:
    return (repository / "docs" / "validation.md").read_text(encoding="utf-8")


def table(family: str) -> list[str]:
    """The rows of a family as the page must have them."""
    return [
        f"| `{code}` | {kind.severity} | {kind.title} | {kind.harm} | {kind.remedy} | {kind.mends or '-'} |"
        for code, kind in FAMILIES[family].items()
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_has_the_table_of_each_family(page: str, family: str) -> None:
    section = page.split(f"\n### {family}\n")[1].split("\n#", maxsplit=1)[0]
    assert [line for line in section.splitlines() if ROW.match(line)] == table(family)


def test_the_page_has_no_other_codes(page: str) -> None:
    assert {match[1] for line in page.splitlines() if (match := ROW.match(line))} == set(KINDS)


def test_every_finding_that_is_made_has_a_kind(repository: Path) -> None:
    made = re.compile(r'(?:Finding\(\s*(?:"\w+"|severity|\w+),\s*|finding_of_rows\()"([a-z-]+)"')
    sources = [path.read_text(encoding="utf-8") for path in (repository / "awac_tr" / "data").rglob("*.py")]
    found = {code for source in sources for code in made.findall(source)}
    assert len(found) > 20
    assert found - set(KINDS) <= {"early-end"}  # of an episode that is to be written; in a file it is two episodes


def test_every_kind_is_found_in_some_test(repository: Path) -> None:
    tests = [path.read_text(encoding="utf-8") for path in (repository / "tests" / "data").glob("test_*.py")]
    assert [code for code in KINDS if not any(f'"{code}"' in text for text in tests)] == []
