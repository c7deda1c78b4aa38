import numpy as np
import pytest

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.finding.scale import conditions_in_view, estimate_temperature, wall_colour

WINTER = Conditions(20.0, 0.0, typed=True, reasons=())


def wall_with_field(field: float, share: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """A wall of 19 °C with its usual unevenness and a field ``field`` K warmer or colder; also a mask of all."""
    rng = np.random.default_rng(2)
    y = np.linspace(-1, 1, 120)[:, None]
    temperature = (19.0 + 0.3 * y + rng.normal(0, 0.08, (120, 160))).astype(np.float32)
    side = round(np.sqrt(share) * 100)
    temperature[40 : 40 + side, 50 : 50 + side] += field
    return temperature, np.ones(temperature.shape, bool)


@pytest.mark.parametrize("field", [-5.0, 15.0])
def test_the_wall_is_told_from_a_cold_field_and_from_a_hot_object(field: float) -> None:
    temperature, valid = wall_with_field(field)
    low, high = np.quantile(temperature, (0.003, 0.997))
    place = ((temperature - low) / (high - low)).astype(np.float32)
    assert wall_colour(place, valid, TaskType.WALL).place == pytest.approx((19.0 - low) / (high - low), abs=0.05)


@pytest.mark.parametrize("field", [-7.0, -4.0, 12.0, 25.0])
def test_the_span_comes_out_within_a_factor_of_two(field: float) -> None:
    temperature, valid = wall_with_field(field)
    colours = ((temperature - temperature.min()) / np.ptp(temperature)).astype(np.float32)
    estimate = estimate_temperature(colours, valid, ~valid, WINTER, TaskType.WALL)
    assert 0.5 < np.ptp(estimate) / np.ptp(temperature) < 2.0


def test_the_unit_of_the_colours_does_not_matter() -> None:
    temperature, valid = wall_with_field(-5.0)
    one, other = (
        estimate_temperature(colours.astype(np.float32), valid, ~valid, WINTER, None)
        for colours in (temperature, 300.0 - 7.0 + 0.5 * temperature)
    )
    assert np.abs(one - other).max() < 0.05


def test_in_summer_the_warm_end_is_the_one_that_leaks() -> None:
    temperature, valid = wall_with_field(5.0)
    summer = Conditions(22.0, 36.0, typed=True, reasons=())
    estimate = estimate_temperature(temperature, valid, ~valid, summer, TaskType.WALL)
    assert estimate[60, 65] > estimate[10, 10] + 1
    assert estimate[10, 10] == pytest.approx(22.0, abs=1.5)


def test_a_picture_of_one_colour_gets_the_walls_temperature() -> None:
    even = np.full((50, 60), 0.5, np.float32)
    valid = np.ones(even.shape, bool)
    estimate = estimate_temperature(even, valid, valid, WINTER, TaskType.WALL)
    assert np.isfinite(estimate).all()


def window_span(glass: float, *, frame_known: bool) -> float:
    """The span that is estimated for a window of 16 °C whose glass has ``glass`` °C, in a wall of 19 °C."""
    temperature = (19.0 + np.random.default_rng(3).normal(0, 0.15, (120, 160))).astype(np.float32)
    frame = np.zeros(temperature.shape, bool)
    frame[20:100, 40:120] = True
    frame[28:92, 48:112] = False
    temperature[20:100, 40:120] = 16.0
    temperature[28:92, 48:112] = glass
    valid = np.ones(temperature.shape, bool)
    mask = frame if frame_known else None
    return float(np.ptp(estimate_temperature(temperature, valid, ~valid, WINTER, TaskType.WINDOW, frame=mask)))


def test_the_frame_tells_single_glass_from_double() -> None:
    known, guessed = (
        window_span(9.0, frame_known=frame_known) / window_span(13.0, frame_known=frame_known)
        for frame_known in (True, False)
    )
    assert guessed < known < 10.5 / 6.0


def test_the_grain_of_a_picture_tells_an_even_view_from_one_of_many_degrees() -> None:
    """The same picture but for the camera's noise, which is alike in kelvin whatever the palette spans."""
    y, x = np.mgrid[-1:1:90j, -1:1:120j]
    shape = (0.8 + 0.1 * y - 0.6 * (np.hypot(x, y) < 0.3)).astype(np.float32)
    valid = np.ones(shape.shape, bool)
    spans = [
        np.ptp(
            estimate_temperature(
                (shape + np.random.default_rng(1).normal(0, 0.05 / span, shape.shape)).astype(np.float32),
                valid, ~valid, WINTER, TaskType.WALL,
            )
        )
        for span in (2.0, 12.0)
    ]  # fmt: skip
    assert spans[0] < 0.8 * spans[1]


@pytest.mark.parametrize("outside", [-15.0, 8.0])
def test_what_was_not_typed_is_taken_from_the_photo(outside: float) -> None:
    difference = 18.0 - outside
    temperature = np.full((120, 160), 18.0 - 0.05 * difference, np.float32)
    temperature[30:90, 40:120] = 18.0 - 0.36 * difference
    assumed = Conditions(20.0, 3.0, typed=False, reasons=("Assumed.",))
    shown = conditions_in_view(temperature, np.ones(temperature.shape, bool), assumed, TaskType.WINDOW)
    assert shown.inside == pytest.approx(18.0, abs=0.8)
    assert abs(shown.outside - outside) < abs(assumed.outside - outside)
    assert shown.reasons == assumed.reasons
