"""The table of threats names defences and tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+/test_\w+\.py)::(test_\w+)`", DOCUMENT)))
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for table in re.findall(r"^\| threat \| defence \| tests \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", DOCUMENT, re.MULTILINE)
    for line in table.splitlines()
]


@cache
def _tests_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    path = ROOT / "tests" / file
    assert path.is_file()
    assert name in _tests_in(path)


def test_every_threat_has_a_defence_and_a_test() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        threat, defence, tests = row
        assert threat
        assert defence
        assert re.search(r"`[\w/]+\.py::test_\w+`", tests), threat


def test_every_attack_is_in_the_document() -> None:
    attacks = ROOT / "tests" / "e2e" / "attacks"
    unnamed = [
        f"{path.name}::{name}"
        for path in sorted(attacks.glob("test_*.py"))
        for name in sorted(_tests_in(path))
        if name.startswith("test_") and f"`e2e/attacks/{path.name}::{name}`" not in DOCUMENT
    ]
    assert unnamed == []


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", DOCUMENT))))
def test_every_file_that_is_linked_exists(link: str) -> None:
    assert link.startswith("http") or (ROOT / "docs" / link).exists()
