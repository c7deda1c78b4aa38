import pytest

from services.analysis.thermography.basis.building import single_glass_deficit, sound_glass_index, surface_index


def test_single_glazing_has_the_surface_index_of_its_u_value() -> None:
    assert surface_index(0.879 * 5.678) == pytest.approx(0.351, abs=0.001)


def test_double_glazing_looks_warmer_than_it_is_because_glass_mirrors_the_room() -> None:
    assert sound_glass_index() == pytest.approx(0.84 * surface_index(0.58 * 5.678) + 0.16)


def test_single_glass_lies_below_double_glazing_by_what_its_u_value_makes() -> None:
    assert single_glass_deficit() == pytest.approx(0.84 * 0.13 * (0.879 - 0.58) * 5.678)
