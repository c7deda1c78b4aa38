import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.judging.observation import assess
from services.analysis.thermography.reading.pictures import open_picture
from services.analysis.thermography.reading.thermogram import Photograph, read_thermogram
from tests.synthetic import make_scene
from tests.unit.services.analysis.thermography.reading.drawings import IRON, drawn, scene
from tests.unit.services.analysis.thermography.reading.profiles import SPACES, profile_of

WINTER = Conditions.from_fahrenheit(68.0, 20.0)


def saved_in(space: str, rgb: np.ndarray, form: str = "PNG") -> bytes:
    """The picture as a device saves it that works in another colour space: the colours look the same."""
    profile = profile_of(space)
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(Image.fromarray(rgb), ImageCms.createProfile("sRGB"), own)
    assert converted is not None
    buffer = io.BytesIO()
    converted.save(buffer, form, icc_profile=profile)
    return buffer.getvalue()


def png_of(rgb: np.ndarray, profile: bytes | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", icc_profile=profile)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("space", SPACES)
def test_a_picture_in_another_colour_space_is_converted(space, form):
    rgb = drawn(scene(), IRON)
    stored = np.asarray(Image.open(io.BytesIO(saved_in(space, rgb, form))).convert("RGB")).astype(int)
    found = open_picture(saved_in(space, rgb, form), enough=640).rgb.astype(int)
    assert np.abs(stored - rgb).mean() > 5
    assert np.abs(found - rgb).mean() < 3


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("space", SPACES)
def test_a_screenshot_in_another_colour_space_has_the_severity_of_one_in_srgb(space, seed):
    rgb = open_picture(make_scene(seed, colour_size=(64, 48)).thermal, enough=640).rgb
    said = []
    for data in (png_of(rgb), saved_in(space, rgb)):
        thermogram = read_thermogram(Photograph(data), inside_c=WINTER.inside, outside_c=WINTER.outside)
        said.append(assess(0, thermogram, WINTER, TaskType.WALL).severity)
    assert said[0] == said[1]


@pytest.mark.parametrize("profile", [b"no profile", profile_of("Display P3")[:200], bytes(128)])
def test_a_damaged_profile_costs_the_conversion_and_not_the_photo(profile):
    rgb = drawn(scene(), IRON)
    assert (open_picture(png_of(rgb, profile), enough=640).rgb == rgb).all()
