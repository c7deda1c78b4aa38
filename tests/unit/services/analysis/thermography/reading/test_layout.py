import cv2
import numpy as np
import pytest

from services.analysis.thermography.reading.layout import find_layout
from services.analysis.thermography.reading.overlays import Box
from tests.unit.services.analysis.thermography.reading.drawings import (
    GREY,
    IRON,
    SPECTRUM,
    colour_photo,
    drawn,
    grey_room,
    near,
    wall,
)


def area_of(photo: np.ndarray) -> Box:
    return find_layout(photo).area


def overlap(found: Box, truth: Box) -> float:
    """Intersection over union."""
    wide = max(0, min(found[2], truth[2]) - max(found[0], truth[0]))
    high = max(0, min(found[3], truth[3]) - max(found[1], truth[1]))
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (found, truth))
    return wide * high / (areas - wide * high)


def test_a_thermal_picture_that_fills_the_photo_is_found_whole():
    assert area_of(drawn(wall(360, 480))) == (0, 0, 480, 360)


def test_a_thermal_picture_inside_a_grey_photo_is_found():
    photo = grey_room(360, 480)
    photo[42:318, 69:411] = drawn(wall(276, 342))
    assert near(area_of(photo), (69, 42, 411, 318))


def test_its_white_clipped_part_belongs_to_the_area():
    photo = grey_room(360, 480)
    place = wall(276, 342)
    y, x = np.mgrid[:276, :342]
    place[y > 150 + 0.3 * x] = 1.0
    photo[42:318, 69:411] = drawn(place)
    assert near(area_of(photo), (69, 42, 411, 318))


@pytest.mark.parametrize("frame", [0, 30, 255])
def test_a_plain_frame_is_cut_off(frame):
    photo = np.full((400, 480, 3), frame, np.uint8)
    photo[50:350, 20:460] = drawn(wall(300, 440), GREY)
    assert near(area_of(photo), (20, 50, 460, 350))


@pytest.mark.parametrize("colours", [IRON, GREY], ids=["iron", "grey"])
@pytest.mark.parametrize("background", [0, 255])
def test_the_thermal_picture_in_a_screenshot_of_an_app_is_found(background, colours):
    screen = np.full((480, 270, 3), background, np.uint8)
    screen[120:322] = drawn(wall(202, 270) * 0.9, colours)
    cv2.putText(screen, "IR camera", (60, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (128, 128, 128), 2)
    for button in range(4):
        cv2.circle(screen, (40 + 64 * button, 410), 18, (60, 140, 240), -1)
    assert near(area_of(screen), (0, 120, 270, 322))


def test_an_even_grey_wall_is_not_taken_for_a_frame():
    place = np.full((300, 400), 0.5)
    place[200:, 100:300] = 0.2
    assert area_of(drawn(place, GREY)) == (0, 0, 400, 300)


ROOM = np.ascontiguousarray(cv2.GaussianBlur(colour_photo(480, 360), (0, 0), 0.8))
INSETS = [(120, 90, 360, 270), (40, 30, 280, 300), (200, 150, 470, 340), (0, 90, 240, 300), (150, 0, 420, 200)]


@pytest.mark.parametrize("box", INSETS)
@pytest.mark.parametrize("surroundings", [ROOM, grey_room(360, 480)], ids=["colour photo", "grey photo"])
@pytest.mark.parametrize("colours", [IRON, SPECTRUM], ids=["iron", "spectrum"])
def test_a_thermal_picture_within_a_photo_is_found(colours, surroundings, box):
    photo = surroundings.copy()
    photo[box[1] : box[3], box[0] : box[2]] = drawn(wall(box[3] - box[1], box[2] - box[0]), colours)
    assert overlap(area_of(photo), box) > 0.95


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("box", INSETS)
def test_a_thermal_picture_that_is_mixed_with_the_grey_photo_around_it_is_found(box, share):
    photo = grey_room(360, 480)
    inside = np.s_[box[1] : box[3], box[0] : box[2]]
    place = wall(box[3] - box[1], box[2] - box[0])
    photo[inside] = drawn(place, SPECTRUM) * share + photo[inside] * (1 - share)
    assert overlap(area_of(photo), box) > 0.95


@pytest.mark.parametrize("first", [True, False], ids=["thermal first", "photo first"])
@pytest.mark.parametrize("beside", [True, False], ids=["side by side", "above each other"])
@pytest.mark.parametrize("colours", [IRON, SPECTRUM], ids=["iron", "spectrum"])
def test_of_two_views_the_thermal_one_is_found(colours, beside, first):
    axis = 1 if beside else 0
    views = [drawn(wall(300, 400), colours), cv2.resize(ROOM, (400, 300))]
    photo = np.ascontiguousarray(np.concatenate(views if first else views[::-1], axis))
    photo = cv2.resize(photo, None, fx=480 / max(photo.shape), fy=480 / max(photo.shape), interpolation=cv2.INTER_AREA)
    height, width = photo.shape[:2]
    at = 0.0 if first else 0.5
    box = (at * width, 0, (at + 0.5) * width, height) if beside else (0, at * height, width, (at + 0.5) * height)
    assert overlap(area_of(photo), box) > 0.95


@pytest.mark.parametrize("colours", [IRON, SPECTRUM, GREY], ids=["iron", "spectrum", "grey"])
def test_a_window_within_a_thermal_picture_is_no_picture_of_its_own(colours):
    place = np.full((360, 480), 0.85)
    place[80:290, 120:370] = 0.25
    place[90:280, 130:240] = place[90:280, 250:360] = 0.1
    noise = np.random.default_rng(4).normal(0, 0.008, place.shape)
    assert area_of(drawn(cv2.GaussianBlur(place, (0, 0), 2.0) + noise, colours)) == (0, 0, 480, 360)


def test_paper_with_a_scale_beside_the_thermal_picture_is_cut_off():
    photo = np.full((300, 480, 3), 255, np.uint8)
    photo[:, :420] = drawn(wall(300, 420))
    photo[20:280, 440:455] = drawn(np.repeat(np.linspace(1, 0, 260)[:, None], 15, 1))
    for row in range(20, 281, 20):
        cv2.line(photo, (456, row), (462, row), (0, 0, 0), 1)
    assert near(area_of(photo), (0, 0, 420, 300))


def test_a_hot_object_does_not_hide_the_dark_rest_of_the_thermal_picture():
    photo = grey_room(360, 480)
    place = np.full((276, 342), 0.06)
    place[180:270, 190:290] = 0.8
    photo[42:318, 69:411] = drawn(place)
    assert overlap(area_of(photo), (69, 42, 411, 318)) > 0.95
