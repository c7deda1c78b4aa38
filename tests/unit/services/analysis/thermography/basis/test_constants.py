from pathlib import Path

import pytest

from services.analysis.thermography.basis.constants import Constant, constants

DOCUMENT = (Path(__file__).parents[6] / "docs" / "thermography.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "constant"), constants().items())
def test_the_documentation_repeats_each_constant_as_it_is(name: str, constant: Constant) -> None:
    row = f"| `{name}` | {float(constant):.6g} | {constant.unit} | {constant.source} | {constant.year or '–'} |"
    assert row in DOCUMENT


def test_a_constant_calculates_like_a_number() -> None:
    assert Constant(0.5, "m", "here", 2020) * 2 == 1.0
