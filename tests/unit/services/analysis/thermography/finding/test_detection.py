from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.finding.detection import Detection, detect
from services.analysis.thermography.reading.thermogram import ScaleSource, Thermogram

WINTER = Conditions(20.0, 0.0, typed=True, reasons=())
SUMMER = Conditions(22.0, 36.0, typed=True, reasons=())
Index = NDArray[np.float32]


def wall(seed: int = 1) -> Index:
    """The thermal index of an even wall with a phone camera's noise, 240 × 320."""
    rng = np.random.default_rng(seed)
    return (0.95 + rng.normal(0, 0.004, (240, 320))).astype(np.float32)


def thermogram(
    index: Index, conditions: Conditions = WINTER, scale: ScaleSource = ScaleSource.RADIOMETRIC
) -> Thermogram:
    temperature = (conditions.outside + index * conditions.difference).astype(np.float32)
    nothing = np.zeros(index.shape, bool)
    size = (index.shape[1], index.shape[0])
    return Thermogram(
        temperature, ~nothing, nothing, nothing, scale, None, 1.0, False, 0.1, (0, 0, *size), size, ()
    )  # fmt: skip


def seen(index: Index, part: TaskType | None = TaskType.WALL, conditions: Conditions = WINTER) -> Detection:
    return detect(thermogram(index, conditions), conditions, part)


def with_window(index: Index) -> Index:
    """A double-glazed window of two panes in its frame, seen from the front."""
    index = index.copy()
    index[40:200, 80:240] -= 0.2
    index[52:188, 92:154] -= 0.09
    index[52:188, 166:228] -= 0.09
    return cv2.GaussianBlur(index, (0, 0), 1.0)


def with_plume(index: Index, top: int, left: int, depth: float = 0.35) -> Index:
    """A plume below a crack of 60 pixels, deepest at the crack and fading out."""
    index = index.copy()
    down = np.arange(24)[:, None]
    index[top : top + 24, left : left + 60] -= depth * np.exp(-down / 8).astype(np.float32)
    return index


def test_an_even_wall_has_no_findings() -> None:
    assert seen(wall()).regions == ()


@pytest.mark.parametrize("shape", [(2, 1500), (1500, 2)])
def test_a_view_of_a_few_pixels_height_or_width_is_looked_at_without_failing(shape: tuple[int, int]) -> None:
    assert seen(np.full(shape, 0.95, np.float32)).regions == ()


def test_a_plume_on_a_wall_is_an_air_leak_at_its_place() -> None:
    (region,) = seen(with_plume(wall(), 60, 100)).regions
    assert region.kind is DefectKind.AIR_LEAK
    assert region.mask[62, 130]
    assert not region.mask[150, 130]


def test_an_even_cold_field_in_a_wall_is_missing_insulation() -> None:
    index = wall()
    index[40:180, 60:130] -= 0.2
    (region,) = seen(index).regions
    assert region.kind is DefectKind.MISSING_INSULATION
    assert region.coldest_temperature < 19.0 - 0.15 * WINTER.difference
    assert region.deficit == pytest.approx(0.2 * 140 * 70 / (240 * 320) * 5.0, rel=0.15)


def test_an_even_cold_line_across_a_wall_is_a_bridge() -> None:
    index = wall()
    index[100:112, :] -= 0.2
    (region,) = seen(cv2.GaussianBlur(index, (0, 0), 2)).regions
    assert region.kind is DefectKind.THERMAL_BRIDGE


def test_a_short_line_of_even_depth_is_a_bridge_too() -> None:
    index = wall()
    index[100:112, 80:200] -= 0.2
    (region,) = seen(cv2.GaussianBlur(index, (0, 0), 2)).regions
    assert region.kind is DefectKind.THERMAL_BRIDGE


def test_streaks_with_narrow_gaps_between_them_are_one_leak() -> None:
    index = with_plume(with_plume(wall(), 60, 100), 60, 164)
    assert len(seen(index).regions) == 1


def test_a_narrow_strip_along_the_border_of_the_view_is_no_leak() -> None:
    index = wall()
    index[:4, 40:300] -= 0.4
    assert seen(index).regions == ()


def test_a_line_colder_than_any_bridge_is_an_air_leak() -> None:
    index = wall()
    index[100:112, :] -= 0.5
    (region,) = seen(cv2.GaussianBlur(index, (0, 0), 2)).regions
    assert region.kind is DefectKind.AIR_LEAK


def with_stripe(index: Index) -> Index:
    """A shallow cold stripe of 12 × 100 pixels."""
    index = index.copy()
    index[100:112, 80:180] -= 0.14
    return cv2.GaussianBlur(index, (0, 0), 1.0)


def test_a_shallow_cold_stripe_counts_alone_and_not_along_the_edge_of_something_hot() -> None:
    beside = wall()
    beside[112:180, 75:185] += 1.0
    beside[60:100, 75:185] += 1.0
    assert len(seen(with_stripe(wall())).regions) == 1
    assert seen(with_stripe(beside)).regions == ()


def test_lines_that_repeat_are_studs_where_the_scale_is_estimated() -> None:
    index = wall()
    for left in (40, 120, 200, 280):
        index[:, left : left + 8] -= 0.05
    colours = ((index - index.min()) / np.ptp(index)).astype(np.float32)
    photo = thermogram(colours, Conditions(1.0, 0.0, typed=True, reasons=()), ScaleSource.ESTIMATED)
    assert detect(photo, WINTER, TaskType.WALL).regions == ()


def test_a_sound_window_has_no_findings() -> None:
    assert seen(with_window(wall()), TaskType.WINDOW).regions == ()


def test_a_leak_at_a_sound_windows_sash_is_found_on_it() -> None:
    (region,) = seen(with_plume(with_window(wall()), 186, 100, 0.3), TaskType.WINDOW).regions
    assert region.kind is DefectKind.AIR_LEAK
    assert region.mask[188, 130]


def test_single_glazing_is_cold_glass() -> None:
    index = with_window(wall())
    index[54:186, 94:152] = 0.45
    (region,) = seen(index, TaskType.WINDOW).regions
    assert region.kind is DefectKind.COLD_GLAZING


def test_a_window_whose_frame_is_as_cold_as_its_glass_is_no_single_glazing() -> None:
    index = wall()
    index[40:200, 80:240] = 0.5  # a temperature was mistyped
    regions = seen(cv2.GaussianBlur(index, (0, 0), 1.0), TaskType.WINDOW).regions
    assert DefectKind.COLD_GLAZING not in {region.kind for region in regions}


def test_glass_that_looks_colder_than_any_is_counted_between_its_looks_and_single_glass() -> None:
    index = with_window(wall())
    index[54:186, 94:152] = 0.25
    (region,) = seen(index, TaskType.WINDOW).regions
    area = 1.4 * 132 * 58 / (160 * 160)
    assert region.deficit == pytest.approx(area * np.sqrt((0.64 - 0.25) * 0.1855), rel=0.1)


def test_a_window_that_one_side_of_the_photo_cuts_is_as_large_as_a_whole_one() -> None:
    index = with_window(wall())
    index[54:186, 94:152] = 0.45
    whole, cut = seen(index, TaskType.WINDOW).regions[0], seen(index[:200], TaskType.WINDOW).regions[0]
    assert cut.deficit == pytest.approx(whole.deficit, rel=0.1)


def test_a_deeper_region_is_likelier_a_defect() -> None:
    (shallow,), (deep,) = (seen(with_plume(wall(), 60, 100, depth)).regions for depth in (0.2, 0.4))
    assert 0.15 < shallow.chance < deep.chance < 1.0


def ringed(index: Index, depth: float) -> Index:
    """The same with a line 6 pixels wide, colder by ``depth``, around the left pane."""
    index = index.copy()
    inner = index[58:182, 98:148].copy()
    index[52:188, 92:154] -= np.float32(depth)
    index[58:182, 98:148] = inner
    return index


def test_the_cold_rim_of_a_sound_pane_is_no_leak() -> None:
    assert seen(ringed(with_window(wall()), 0.13), TaskType.WINDOW).regions == ()


def test_a_leak_along_two_sides_of_a_pane_is_no_rim() -> None:
    index = with_window(wall())
    index[182:188, 92:154] -= 0.2
    index[52:188, 92:98] -= 0.2
    assert DefectKind.AIR_LEAK in {region.kind for region in seen(index, TaskType.WINDOW).regions}


def test_a_deep_cold_ring_around_a_pane_is_a_leak() -> None:
    regions = seen(ringed(with_window(wall()), 0.3), TaskType.WINDOW).regions
    assert DefectKind.AIR_LEAK in {region.kind for region in regions}


@pytest.mark.parametrize(
    ("warmer", "box"), [(1.5, (120, 230, 60, 260)), (0.6, (40, 240, 10, 90)), (0.15, (90, 150, 100, 300))]
)
def test_something_hot_before_a_wall_is_no_leak(warmer: float, box: tuple[int, int, int, int]) -> None:
    index = wall()
    top, bottom, left, right = box
    index[top:bottom, left:right] += warmer
    assert seen(index).regions == ()


def test_a_person_before_a_sound_window_is_no_leak() -> None:
    index = with_window(wall())
    cv2.ellipse(index, (110, 180), (35, 120), 0, 0, 360, 1.6, -1)
    assert seen(index, TaskType.WINDOW).regions == ()


@pytest.mark.parametrize(("share", "warm"), [(0.45, 0.6), (0.35, 1.5)], ids=["a warm wall", "something hot"])
def test_a_view_from_outside_is_one_whatever_warm_fills_a_part_of_it(share: float, warm: float) -> None:
    index = (wall() * 0.1).astype(np.float32)
    index[: round(share * len(index))] = warm
    assert seen(index).refusal


def test_a_view_with_hardly_anything_of_a_room_s_temperature_is_seen_from_outside() -> None:
    index = (wall() * 0.5).astype(np.float32)
    index[:20] = 0.95
    assert "the inside temperature given" in str(seen(index).refusal)
    assert "given" not in str(detect(thermogram(index), replace(WINTER, typed=False), None).refusal)


def test_what_is_warmer_than_any_room_says_nothing_about_leaks() -> None:
    photo = thermogram(with_plume(wall() + 1.0, 60, 100))  # 40 °C where the wall is at 19 °C otherwise
    assert detect(photo, replace(WINTER, typed=False), TaskType.WALL).refusal
    assert detect(photo, WINTER, TaskType.WALL).refusal


@pytest.mark.parametrize(("inside", "outside"), [(12.0, 0.0), (20.0, 17.0)], ids=["a warmer room", "colder outside"])
def test_temperatures_that_the_photo_contradicts_are_not_believed_and_named(inside: float, outside: float) -> None:
    index = with_plume(wall(), 60, 100)
    found = detect(thermogram(index), replace(WINTER, inside=inside, outside=outside), TaskType.WALL)
    assert found.contradiction
    (region,) = found.regions
    assert region.mask[62, 130]
    assert region.coldest_index > 0.0


def test_a_lukewarm_radiator_is_not_the_wall_when_a_warmer_room_was_typed() -> None:
    index = wall()
    index[90:190, 90:230] += 0.17
    warmer = replace(WINTER, inside=WINTER.inside + 3.0)
    assert detect(thermogram(index), warmer, TaskType.WALL).regions == ()


def test_a_warm_place_is_the_leak_when_it_is_warmer_outside() -> None:
    index = with_plume(wall(), 60, 100)
    (region,) = seen(index, TaskType.WALL, SUMMER).regions
    assert region.coldest_temperature > 24


def test_a_view_from_outside_is_recognised_by_its_temperatures() -> None:
    assert seen((wall() * 0.1).astype(np.float32)).refusal


def test_a_cold_field_above_a_radiator_counts_as_a_window() -> None:
    index = wall()
    index[0:70, 60:260] -= 0.25
    index[90:160, 70:250] += 0.5
    (region,) = seen(index).regions
    assert region.kind is DefectKind.COLD_GLAZING
    assert region.deficit == pytest.approx(0.02)


def test_a_defect_goes_on_behind_print_but_not_beside_it() -> None:
    index = wall()
    index[0:90, 60:260] -= 0.2
    photo = thermogram(index)
    photo.valid[0:60, 40:280] = False
    (region,) = detect(photo, WINTER, TaskType.WALL).regions
    assert region.mask[5:55, 80:240].all()
    assert not region.mask[:, 270:].any()
    (open_to_view,) = seen(index).regions
    assert region.deficit == pytest.approx(open_to_view.deficit, rel=0.2)


def test_hidden_pixels_are_never_part_of_a_finding() -> None:
    index = with_plume(wall(), 60, 100)
    photo = thermogram(index)
    photo.valid[40:110, 90:180] = False
    assert detect(photo, WINTER, TaskType.WALL).regions == ()


def test_a_picture_that_is_hidden_altogether_has_no_findings_and_says_so() -> None:
    photo = thermogram(wall())
    photo.valid[:] = False
    assert detect(photo, WINTER, TaskType.WALL).reasons


def test_a_picture_of_one_colour_is_sound() -> None:
    assert seen(np.full((240, 320), 0.95, np.float32)).regions == ()


@pytest.mark.parametrize("shape", [(32, 32), (32, 400), (33, 47)])
@pytest.mark.parametrize("part", [None, *TaskType])
def test_small_and_narrow_pictures_are_judged_without_error(shape: tuple[int, int], part: TaskType | None) -> None:
    rng = np.random.default_rng(3)
    detect(thermogram(rng.normal(0.8, 0.2, shape).astype(np.float32)), WINTER, part)


def test_without_a_scale_a_leak_is_found_from_the_colours_alone() -> None:
    index = with_plume(wall(), 60, 100)
    colours = ((index - index.min()) / np.ptp(index)).astype(np.float32)
    photo = thermogram(colours, Conditions(1.0, 0.0, typed=True, reasons=()), ScaleSource.ESTIMATED)
    (region, *_) = detect(photo, WINTER, TaskType.WALL).regions
    assert region.mask[62, 130]


def test_an_edge_as_steep_as_that_of_structure_speaks_against_a_defect() -> None:
    sharp = wall()
    sharp[100:112, 80:180] -= 0.14
    (soft,), (steep,) = (seen(cv2.GaussianBlur(sharp, (0, 0), sigma)).regions for sigma in (3.0, 1.0))
    assert steep.chance < soft.chance


def colours_of(index: Index, *, negative: bool = False) -> Thermogram:
    """A grey picture of ``index`` that tells neither its scale nor whether bright is warm."""
    colours = ((index - index.min()) / np.ptp(index)).astype(np.float32)
    photo = thermogram(1 - colours if negative else colours, Conditions(1.0, 0.0, True, ()), ScaleSource.ESTIMATED)
    return replace(photo, either_way=True)


def test_a_negative_of_a_leaking_window_is_read_like_the_picture_itself() -> None:
    index = with_plume(with_window(wall()), 186, 100, 0.3)
    itself, negative = (
        detect(colours_of(index, negative=negative), WINTER, TaskType.WINDOW).regions for negative in (False, True)
    )
    assert itself
    assert [region.mask.sum() for region in negative] == [region.mask.sum() for region in itself]


def test_a_hot_thing_before_a_wall_does_not_turn_a_grey_picture_round() -> None:
    index = wall()
    index[60:180, 100:160] += 0.5
    assert detect(colours_of(index), WINTER, TaskType.WALL).regions == ()


def test_a_cold_window_that_fills_most_of_the_view_is_not_seen_from_outside() -> None:
    index = wall()
    index[30:210, 45:275] = 0.35
    assert not seen(index, TaskType.WINDOW).refusal
    untyped = Conditions(20.0, 3.0, typed=False, reasons=())
    assert not detect(thermogram(index), untyped, TaskType.WINDOW).refusal


def test_what_is_colder_than_any_wall_is_a_cold_object_and_loses_nothing() -> None:
    index = wall()
    index[80:170, 100:230] -= 0.5
    found = seen(cv2.GaussianBlur(index, (0, 0), 4))
    (region,) = found.regions
    assert region.looks_like == "cold object or glass"
    assert region.deficit == 0.0
    assert any("colder than any wall" in reason for reason in found.reasons)


def test_a_field_as_cold_as_a_bare_wall_or_an_object_counts_as_a_small_leak() -> None:
    index = wall()
    index[80:170, 100:230] -= 0.35
    found = seen(cv2.GaussianBlur(index, (0, 0), 4))
    (region,) = found.regions
    assert region.looks_like is None
    assert region.deficit == pytest.approx(0.02, rel=0.01)
    assert any("The photo does not tell which" in reason for reason in found.reasons)


def test_what_lies_between_hot_things_is_no_leak() -> None:
    index = wall()
    index[60:180, 60:260] += 0.8
    index[90:150, 140:180] -= 1.05
    assert seen(cv2.GaussianBlur(index, (0, 0), 1)).regions == ()


def test_a_place_beyond_the_cold_end_of_the_scale_is_found() -> None:
    index = wall()
    index[60:140, 80:200] -= 0.05
    photo = thermogram(cv2.GaussianBlur(index, (0, 0), 3))
    assert detect(photo, WINTER, TaskType.WALL).regions == ()
    photo.clipped_low[60:140, 80:200] = True
    (region,) = detect(photo, WINTER, TaskType.WALL).regions
    assert region.mask[100, 140]
