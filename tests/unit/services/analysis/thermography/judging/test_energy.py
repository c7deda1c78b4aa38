import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import TaskType
from services.analysis.thermography.basis.climate import climate_of
from services.analysis.thermography.basis.constants import Constant, constants
from services.analysis.thermography.judging.energy import (
    HeatLoss,
    Season,
    air_flow,
    air_heat_loss,
    excess_conduction,
    leakage_of_plumes,
    yearly_bill,
)

PARTS = (None, *TaskType)


def test_a_missing_index_over_an_area_loses_its_share_through_the_surface_resistance() -> None:
    assert excess_conduction(0.2 * 1.5, glass=False) == pytest.approx(0.2 / 0.13 * 1.5)


def test_the_same_deficit_on_glass_means_more_loss() -> None:
    assert excess_conduction(0.3, glass=True) == pytest.approx(excess_conduction(0.3, glass=False) / 0.84)


def test_air_flow_follows_sherman_and_grimsrud() -> None:
    assert air_flow(10.0, 20.0, 4.0) == pytest.approx(10 * math.sqrt(0.000290 * 20 + 0.000137 * 16))


def test_a_hundred_square_centimetres_lose_ten_watts_per_kelvin() -> None:
    assert air_heat_loss(100.0) == pytest.approx(9.8, abs=0.1)


@given(st.sampled_from(PARTS), st.floats(0, 5), st.floats(0, 5))
def test_a_larger_plume_never_means_a_smaller_leak(part: TaskType | None, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert leakage_of_plumes(part, small) <= leakage_of_plumes(part, large)


def test_no_plume_is_no_leak() -> None:
    assert leakage_of_plumes(TaskType.DOOR, 0.0) == 0.0


def test_one_watt_per_kelvin_in_illinois_is_85_kwh_of_heat_a_year() -> None:
    bill = yearly_bill(1.0, climate_of("60601"), Season.HEATING)
    assert bill.kwh_per_month * 12 == pytest.approx(6354 / 1.8 * 24 / 1000)
    assert bill.usd_per_year == pytest.approx(84.7 / 0.80 * 1.112 / 29.307, rel=0.001)


def test_a_household_with_a_cooler_pays_for_summer_too() -> None:
    texas = climate_of("75201")
    both = yearly_bill(1.0, texas, Season.HEATING_AND_COOLING)
    heating = yearly_bill(1.0, texas, Season.HEATING)
    assert both.usd_per_year - heating.usd_per_year == pytest.approx(2612 / 1.8 * 24 / 1000 / 3.0 * 0.1446)


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_bill_grows_with_the_loss(one: float, other: float) -> None:
    climate = climate_of(None)
    low, high = (yearly_bill(loss, climate, Season.HEATING).usd_per_year for loss in sorted((one, other)))
    assert low <= high


def test_losses_of_regions_add_up() -> None:
    assert (HeatLoss(1.0, 2.0) + HeatLoss(0.5, 0.25)).total == pytest.approx(3.75)


@pytest.mark.parametrize(("name", "constant"), constants().items())
def test_every_constant_names_its_unit_and_source(name: str, constant: Constant) -> None:
    assert constant.unit
    assert constant.source
    assert constant.year is None or 1900 < constant.year < 2100
