import cv2
import numpy as np
import pytest

from services.analysis.thermography.reading import overlays
from tests.unit.services.analysis.thermography.reading.drawings import (
    GREY,
    IRON,
    drawn,
    grey_room,
    near,
    wall,
    with_bar,
)


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
