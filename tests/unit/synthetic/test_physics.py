"""The generator's physics: what grows with what, and figures checked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.reports import Severity
from tests.synthetic.physics import heat_per_month, index_of, jet_cooling, leak_ua, plume_cooling, severity_of

areas = st.floats(0.5, 60)


def field(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


@given(areas, areas)
def test_energy_truth_grows_with_leakage(one: float, other: float) -> None:
    small, large = sorted((one, other))
    house = {"storeys": 1, "shelter": 3, "wind": 4.0}
    assert leak_ua(small, **house) <= leak_ua(large, **house)


def test_ten_square_centimetres_lose_what_sherman_and_grimsrud_say() -> None:
    # sqrt(0.000145 * 15 + 0.000174 * 16) = 0.0705 L/s per cm²; times 10 cm² and 1.2072 W/K per L/s
    assert leak_ua(10, storeys=1, shelter=3, wind=4) == pytest.approx(0.851, abs=0.001)


def test_a_watt_per_kelvin_over_3500_kelvin_days_is_seven_kwh_a_month() -> None:
    assert heat_per_month(1.0, 3500 * 1.8) == pytest.approx(7.0)


def test_the_index_of_a_double_pane_is_near_0_57() -> None:
    assert index_of(field(3.29), field(0.13))[0, 0] == pytest.approx(0.572, abs=0.001)


@given(st.floats(0.0002, 0.004), st.floats(0.5, 3))
def test_a_jet_cools_less_the_further_it_has_come(width: float, speed: float) -> None:
    distance = np.linspace(0, 0.5, 30, dtype=np.float32)[None]
    taken = jet_cooling(distance, np.full_like(distance, width), speed)
    assert (np.diff(taken) <= 1e-6).all()
    assert 0 < taken.max() < 0.9


@given(st.floats(0.0003, 0.002), st.floats(1.05, 3))
def test_a_wider_crack_cools_more_at_every_distance(width: float, times: float) -> None:
    distance = np.linspace(0.01, 0.4, 20, dtype=np.float32)[None]
    narrow = jet_cooling(distance, np.full_like(distance, width), 2.0)
    wide = jet_cooling(distance, np.full_like(distance, width * times), 2.0)
    assert (wide > narrow).all()


def test_no_crack_cools_nothing() -> None:
    assert jet_cooling(field(0.0, 0.1), field(0.0, 0.0), 2.0).max() == 0


def test_a_plume_is_coldest_at_its_hole_and_on_its_axis() -> None:
    along = plume_cooling(field(0.0, 0.1, 0.3), field(0.0, 0.0, 0.0), 0.03, 2.0)
    assert along[0, 0] > along[0, 1] > along[0, 2]
    beside = plume_cooling(field(0.1, 0.1), field(0.0, 0.05), 0.03, 2.0)
    assert beside[0, 0] > beside[0, 1]


@pytest.mark.parametrize(
    ("excess", "severity"),
    [(0, Severity.NONE), (0.149, Severity.NONE), (0.15, Severity.LOW), (0.8, Severity.MODERATE), (4, Severity.HIGH)],
)
def test_severity_follows_the_written_limits(excess: float, severity: Severity) -> None:
    assert severity_of(excess) is severity
