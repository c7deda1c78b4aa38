"""A colour profile converts colours as before, and tells nothing in words."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from services.tasks.privacy import icc
from services.tasks.privacy.work import UnreadableError, Work
from tests.unit.services.tasks.privacy.colours import profile
from tests.unit.services.tasks.privacy.telling import TELLING, image

WIDE = TELLING.decode().encode("utf-16-be")
KINDS = {
    "version 2": profile(TELLING),
    "version 4": profile(TELLING, version=4),
    "with a table": profile(TELLING, table=True),
    "of a library": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "of a library, with another white": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB", 6500)).tobytes(),
}


def shown(data: bytes) -> bytes:
    return icc.cleaned(data, Work(len(data))).applied(data)


def converted(data: bytes) -> NDArray[np.uint8]:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(data))
    lab = opened.profile.xcolor_space.strip() == "Lab"
    source = image().convert("LAB") if lab else image()
    turned = ImageCms.profileToProfile(source, opened, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert isinstance(turned, Image.Image)
    return np.asarray(turned)


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_colours_are_converted_as_before(data: bytes) -> None:
    assert np.array_equal(converted(shown(data)), converted(data))


@pytest.mark.parametrize("kind", ["version 2", "version 4", "with a table"])
def test_colours_look_wrong_without_the_profile(kind: str) -> None:
    """Or the test before could not fail."""
    difference = converted(KINDS[kind]).astype(int) - np.asarray(image())
    assert np.abs(difference).mean() > 20


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_no_word_is_left(data: bytes) -> None:
    clean = shown(data)
    assert len(clean) == len(data)
    for told in (TELLING, TELLING[:4], TELLING[4:12], WIDE, b"sRGB", "sRGB".encode("utf-16-be"), b"enUS"):
        assert told not in clean
    assert clean[24:36] == bytes(12)  # when it was made


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_readers_still_find_the_texts_that_a_profile_must_have(data: bytes) -> None:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(shown(data)))
    assert ImageCms.getProfileDescription(opened).strip() == ""
    assert ImageCms.getProfileCopyright(opened).strip() == ""


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_a_clean_profile_stays_as_it_is(data: bytes) -> None:
    assert shown(shown(data)) == shown(data)


def test_a_text_under_the_name_of_a_colour_is_refused() -> None:
    data = profile(TELLING)
    at = data.index(b"rXYZ")
    place = struct.unpack_from(">I", data, at + 4)[0]
    with pytest.raises(UnreadableError):
        shown(data[:place] + b"text" + data[place + 4 :])


def test_a_text_that_lies_over_a_colour_is_left_out() -> None:
    data = bytearray(profile(TELLING))
    colour = struct.unpack_from(">II", data, data.index(b"rXYZ") + 4)
    struct.pack_into(">II", data, data.index(b"desc") + 4, *colour)
    clean = shown(bytes(data))
    assert np.array_equal(converted(clean), converted(profile(TELLING)))
    assert b"desc" not in clean


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_a_damaged_profile_is_cleaned_or_refused_and_nothing_else(wrong: list[tuple[int, int]]) -> None:
    data = bytearray(KINDS["version 4"])
    for at, value in wrong:
        data[at] = value
    try:
        clean = shown(bytes(data))
    except UnreadableError:
        return
    assert len(clean) == len(data)
    assert TELLING not in clean
