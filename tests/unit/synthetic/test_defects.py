"""Defects drawn into a plane: the loss is that of the changed state, the mask that of the cold that shows."""

import numpy as np
import pytest

from contracts.reports import DefectKind
from tests.synthetic.defects import House, air_leak, cold_glazing, missing_insulation, seen, thermal_bridge
from tests.synthetic.plane import Plane, Rect, wall, window

HOUSE = House(storeys=1, shelter=3, wind=4.0, neglected=False)


def a_wall(seed: int) -> Plane:
    return wall(np.random.default_rng(seed), 2.4, 1.8, floor=True, ceiling=True, corner=True)


def a_window(seed: int) -> Plane:
    rng = np.random.default_rng(seed)
    plane = wall(rng, 1.8, 2.2, floor=False, ceiling=False, corner=False)
    window(rng, plane, Rect(0.4, 0.5, 1.4, 1.7))
    return plane


@pytest.mark.parametrize("seed", range(5))
def test_missing_insulation_loses_its_u_value_times_its_area(seed: int) -> None:
    plane = a_wall(seed)
    flaw = missing_insulation(np.random.default_rng(seed), plane, HOUSE)
    assert flaw is not None
    assert flaw.excess is not None
    area = (flaw.excess > 0.1).sum() * plane.point_area
    assert 0 < flaw.excess.max() <= 2.3
    assert float(flaw.excess.sum()) * plane.point_area <= flaw.excess.max() * area * 1.05


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_changes_no_conduction_and_cools_its_surroundings(seed: int) -> None:
    flaw = air_leak(np.random.default_rng(seed), a_window(seed), HOUSE)
    assert flaw is not None
    assert flaw.kind is DefectKind.AIR_LEAK
    assert flaw.raised is None
    assert flaw.taken is not None
    assert flaw.leakage_cm2 is not None
    assert flaw.leak_ua > 0
    assert 0 < flaw.taken.max() <= 0.9
    assert flaw.taken.min() == 0


@pytest.mark.parametrize("seed", range(5))
def test_single_glass_is_cold_over_whole_panes_only(seed: int) -> None:
    plane = a_window(seed)
    flaw = cold_glazing(np.random.default_rng(seed), plane, HOUSE)
    assert flaw is not None
    assert flaw.raised is not None
    assert not (flaw.raised[~plane.glass] > 0).any()


@pytest.mark.parametrize("seed", range(5))
def test_a_bridge_is_narrow(seed: int) -> None:
    plane = a_wall(seed)
    flaw = thermal_bridge(np.random.default_rng(seed), plane, HOUSE)
    assert flaw is not None
    assert flaw.raised is not None
    assert (flaw.raised > 0.5 * flaw.raised.max()).mean() < 0.15


def test_a_plane_without_panes_has_no_cold_glazing() -> None:
    assert cold_glazing(np.random.default_rng(0), a_wall(0), HOUSE) is None


def test_what_is_hidden_is_not_in_the_mask() -> None:
    drop = np.full((4, 4), 0.3, np.float32)
    visible = np.zeros((4, 4), bool)
    visible[:2] = True
    assert (seen(drop, visible) == visible).all()


def test_a_faint_cold_is_not_in_the_mask() -> None:
    assert not seen(np.full((3, 3), 0.04, np.float32), np.ones((3, 3), bool)).any()
