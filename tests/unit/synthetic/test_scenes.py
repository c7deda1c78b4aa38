"""Scenes: one integer gives one scene, and its truth fits its picture."""

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from contracts.reports import Severity
from tests.synthetic import Condition, Scene, make_scene
from tests.synthetic.physics import severity_of
from tests.synthetic.scenes import Source

DEFECTIVE = (1, 5, 9, 17, 19)  # those that are drawn soon
SOUND = (0, 2, 4, 6, 8)


@cache
def scene_of(seed: int) -> Scene:
    return make_scene(seed, colour_size=(320, 240))


def test_the_same_seed_draws_the_same_bytes() -> None:
    again = make_scene(1, colour_size=(320, 240))
    assert again.thermal == scene_of(1).thermal
    assert again.colour == scene_of(1).colour
    assert (again.mask == scene_of(1).mask).all()


def test_different_seeds_draw_different_scenes() -> None:
    assert len({scene_of(seed).thermal for seed in DEFECTIVE + SOUND}) == len(DEFECTIVE + SOUND)


@pytest.mark.parametrize("seed", DEFECTIVE)
def test_every_defect_lies_inside_the_thermal_area(seed: int) -> None:
    scene = scene_of(seed)
    x0, y0, x1, y1 = scene.window
    inside = np.zeros(scene.thermal_picture.shape[:2], bool)
    inside[y0:y1, x0:x1] = True
    for defect in scene.defects:
        assert defect.mask.shape == inside.shape
        assert defect.mask.any()
        assert not (defect.mask & ~inside).any()


@pytest.mark.parametrize("seed", DEFECTIVE)
def test_a_scene_with_a_defect_is_at_least_low_and_colder_there(seed: int) -> None:
    scene = scene_of(seed)
    assert scene.severity is severity_of(sum(defect.excess_ua for defect in scene.defects))
    assert scene.severity is not Severity.NONE
    assert scene.heat_kwh_per_month > 0
    assert all(defect.peak >= 0.1 for defect in scene.defects)


@pytest.mark.parametrize("seed", SOUND)
def test_a_sound_scene_has_an_empty_truth(seed: int) -> None:
    scene = scene_of(seed)
    assert scene.defects == ()
    assert scene.severity is Severity.NONE
    assert scene.heat_kwh_per_month == 0
    assert not scene.mask.any()


@pytest.mark.parametrize("seed", DEFECTIVE + SOUND)
def test_the_uploads_are_pictures_of_the_upright_scene_as_exif_turns_it(seed: int) -> None:
    scene = scene_of(seed)
    height, width = scene.thermal_picture.shape[:2]
    stored = Image.open(io.BytesIO(scene.thermal))
    assert stored.getexif().get(0x0112, 1) == scene.orientation
    assert stored.size == ((height, width) if scene.orientation in (6, 8) else (width, height))
    assert Image.open(io.BytesIO(scene.colour)).size in ((320, 240), (240, 320))


@pytest.mark.parametrize("seed", DEFECTIVE + SOUND)
def test_only_leaks_have_a_leakage_area(seed: int) -> None:
    for defect in scene_of(seed).defects:
        assert (defect.leakage_cm2 is not None) == (defect.kind == "air leak")


@pytest.mark.parametrize("condition", [Condition.SUMMER, Condition.MILD, Condition.EXTERIOR])
def test_the_circumstances_set_the_temperatures(condition: Condition) -> None:
    scene = make_scene(2, condition, colour_size=(320, 240))
    difference = scene.inside_c - scene.outside_c
    assert (difference < 0) == (condition is Condition.SUMMER)
    assert (abs(difference) < 8) == (condition is Condition.MILD)


def test_a_blended_picture_carries_no_temperatures() -> None:
    scene = make_scene(2, Condition.BLENDED, colour_size=(320, 240))
    assert scene.source is Source.PICTURE


def test_most_sound_scenes_hold_something_hot() -> None:
    hot = {"radiator", "lamp", "person", "pet", "hot tank", "pipes", "sun patch", "screen"}
    scenes = [scene_of(seed) for seed in range(0, 24, 2)]
    assert sum(bool(hot & set(scene.distractors)) for scene in scenes) > len(scenes) / 2
