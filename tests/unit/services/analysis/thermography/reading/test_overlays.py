import cv2
import numpy as np
import pytest

from services.analysis.thermography.reading import overlays, palettes

IRON = palettes.known()[0].colours
GREY = next(palette.colours for palette in palettes.known() if palette.name == "white-hot")


def drawn(place: np.ndarray, colours: np.ndarray = IRON) -> np.ndarray:
    return np.rint(colours[np.clip(np.rint(place * 255), 0, 255).astype(int)]).astype(np.uint8)


def wall(height: int, width: int) -> np.ndarray:
    """Places 0..1 of an uneven wall with a cold spot."""
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-(((x / width - 0.3) / 0.15) ** 2 + ((y / height - 0.5) / 0.2) ** 2))
    return 0.75 + 0.1 * np.sin(5 * x / width) - 0.55 * spot


def grey_room(height: int, width: int) -> np.ndarray:
    """A grey photo with texture and a shadow."""
    rng = np.random.default_rng(5)
    grey = cv2.GaussianBlur(rng.normal(0, 40, (height, width)), (0, 0), 2) + np.linspace(50, 120, width)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def near(box: overlays.Box, expected: overlays.Box, by: int = 3) -> bool:
    return all(abs(one - other) <= by for one, other in zip(box, expected, strict=True))


def test_a_thermal_picture_that_fills_the_photo_is_found_whole():
    assert overlays.thermal_area(drawn(wall(360, 480))) == (0, 0, 480, 360)


def test_a_thermal_picture_inside_a_grey_photo_is_found():
    photo = grey_room(360, 480)
    photo[42:318, 69:411] = drawn(wall(276, 342))
    assert near(overlays.thermal_area(photo), (69, 42, 411, 318))


def test_its_white_clipped_part_belongs_to_the_area():
    photo = grey_room(360, 480)
    place = wall(276, 342)
    y, x = np.mgrid[:276, :342]
    place[y > 150 + 0.3 * x] = 1.0
    photo[42:318, 69:411] = drawn(place)
    assert near(overlays.thermal_area(photo), (69, 42, 411, 318))


@pytest.mark.parametrize("frame", [0, 30, 255])
def test_a_plain_frame_is_cut_off(frame):
    photo = np.full((400, 480, 3), frame, np.uint8)
    photo[50:350, 20:460] = drawn(wall(300, 440), GREY)
    assert near(overlays.thermal_area(photo), (20, 50, 460, 350))


@pytest.mark.parametrize("colours", [IRON, GREY], ids=["iron", "grey"])
@pytest.mark.parametrize("background", [0, 255])
def test_the_thermal_picture_in_a_screenshot_of_an_app_is_found(background, colours):
    screen = np.full((480, 270, 3), background, np.uint8)
    screen[120:322] = drawn(wall(202, 270) * 0.9, colours)
    cv2.putText(screen, "IR camera", (60, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (128, 128, 128), 2)
    for button in range(4):
        cv2.circle(screen, (40 + 64 * button, 410), 18, (60, 140, 240), -1)
    assert near(overlays.thermal_area(screen), (0, 120, 270, 322))


def test_an_even_grey_wall_is_not_taken_for_a_frame():
    place = np.full((300, 400), 0.5)
    place[200:, 100:300] = 0.2
    assert overlays.thermal_area(drawn(place, GREY)) == (0, 0, 400, 300)


def with_bar(colours: np.ndarray, *, lying: bool = False, hot_first: bool = True) -> tuple[np.ndarray, overlays.Box]:
    photo = drawn(wall(360, 480), colours)
    length, width = (300, 12) if lying else (220, 12)
    scale = np.linspace(1, 0, length) if hot_first != lying else np.linspace(0, 1, length)
    strip = drawn(np.repeat(scale[:, None], width, 1), colours)
    if lying:
        box = (90, 335, 90 + length, 335 + width)
        photo[box[1] : box[3], box[0] : box[2]] = strip.transpose(1, 0, 2)
    else:
        box = (450, 60, 450 + width, 60 + length)
        photo[box[1] : box[3], box[0] : box[2]] = strip
    return photo, box


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_colour_bar_is_found_with_its_hot_end(index, lying):
    photo, box = with_bar(palettes.known()[index].colours, lying=lying)
    place, gap = palettes.places(photo, index)
    bar = overlays.colour_bar(place, gap, palettes.explained_within(index))
    assert bar is not None
    assert near(bar.box, box, by=6)
    assert bar.hot_first


@pytest.mark.parametrize("lying", [False, True])
def test_the_hot_end_of_a_black_hot_bar_is_at_the_other_end_when_read_as_white_hot(lying):
    white_hot = 4
    photo, _ = with_bar(GREY, lying=lying, hot_first=False)
    bar = overlays.colour_bar(*palettes.places(photo, white_hot), palettes.explained_within(white_hot))
    assert bar is not None
    assert not bar.hot_first


def test_a_scene_without_a_bar_has_none():
    place, gap = palettes.places(drawn(wall(360, 480)), 0)
    assert overlays.colour_bar(place, gap, palettes.EXPLAINED) is None


def test_a_grey_thermal_picture_beside_its_bar_is_found_in_a_grey_photo():
    photo = grey_room(360, 480)
    photo[42:318, 69:411] = drawn(wall(276, 342), GREY)
    assert near(overlays.area_beside(photo, (54, 42, 62, 318)), (69, 42, 411, 318))


def test_a_bar_whose_end_looks_like_the_photo_still_finds_the_area_beside_it():
    photo = grey_room(360, 480)
    photo[42:318, 69:411] = drawn(wall(276, 342), GREY)
    assert near(overlays.area_beside(photo, (54, 52, 62, 318)), (69, 42, 411, 318))


def test_the_bar_parts_the_area_from_borders_that_go_on_in_the_photo():
    photo = grey_room(360, 480)
    photo[42:318, 0:411] = drawn(wall(276, 411), GREY)
    assert near(overlays.area_beside(photo, (54, 42, 62, 318)), (62, 42, 411, 318))


def test_without_borders_beside_the_bar_there_is_no_area():
    photo, box = with_bar(GREY)
    assert overlays.area_beside(photo, box) is None


@pytest.mark.parametrize("colours", [IRON, GREY], ids=["iron", "grey"])
def test_white_print_is_masked_and_the_scene_around_it_is_not(colours):
    place = cv2.GaussianBlur(wall(480, 640) * 0.6, (0, 0), 4)
    photo = drawn(place, colours)
    printed = photo.copy()
    cv2.putText(printed, "17.4 C", (30, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 3, cv2.LINE_AA)
    cv2.line(printed, (320, 200), (320, 230), (255, 255, 255), 2)
    ink = (printed != photo).any(2)
    mask = overlays.print_mask(printed)
    assert mask[ink].mean() > 0.97
    far = cv2.dilate(ink.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert not mask[far].any()


def test_a_black_box_below_text_is_masked_whole():
    photo = drawn(wall(480, 640))
    photo[10:50, 10:150] = 0
    cv2.putText(photo, "7.5 C", (20, 42), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2, cv2.LINE_AA)
    mask = overlays.print_mask(photo)
    assert mask[12:48, 12:148].mean() > 0.98
    assert mask.mean() < 0.03


def test_a_cold_draught_is_not_taken_for_print():
    place = wall(480, 640)
    place[300:306, 200:420] = 0.0  # a crack, black in iron and in white-hot
    for colours in (IRON, GREY):
        assert not overlays.print_mask(drawn(place, colours)).any()


def test_rounded_corners_are_cut_off_and_straight_ones_are_not():
    photo = drawn(wall(300, 400))
    stencil = np.zeros((300, 400), np.uint8)
    cv2.rectangle(stencil, (20, 0), (379, 299), 1, -1)
    cv2.rectangle(stencil, (0, 20), (399, 279), 1, -1)
    for centre in ((20, 20), (379, 20), (20, 279), (379, 279)):
        cv2.circle(stencil, centre, 20, 1, -1)
    assert not overlays.plain_corners(photo).any()
    photo[stencil == 0] = 0
    mask = overlays.plain_corners(photo)
    assert mask[stencil == 0].all()
    assert mask.mean() < 0.02


def test_a_windows_frame_as_high_as_the_bar_printed_beside_it_is_no_border_of_an_area():
    place = np.full((360, 480), 0.9)
    place[70:290, 100:420] = 0.5
    picture = drawn(cv2.GaussianBlur(place, (0, 0), 3), GREY)
    assert overlays.area_beside(picture, (440, 70, 452, 290)) is None


def test_a_colour_bar_is_found_in_its_full_breadth_where_only_its_middle_has_the_palettes_colours():
    place = np.full((240, 320), 0.6, np.float32)
    place[60:180, 290:302] = np.linspace(1, 0, 120, dtype=np.float32)[:, None]
    gap = np.zeros(place.shape, np.float32)
    gap[60:180, 290:302] = 40
    gap[60:180, 295:298] = 5
    found = overlays.colour_bar(place, gap, 20)
    assert found is not None
    assert near(found.box, (290, 60, 302, 180), by=4)
