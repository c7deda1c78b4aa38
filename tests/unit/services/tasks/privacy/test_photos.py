"""A photo is shown as it looks, and says nothing of where it was taken and by whom: whatever its form."""

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from PIL import ExifTags

from services.tasks.photos.store import PhotoStore, StoredPhoto
from services.tasks.privacy import photos
from services.tasks.privacy.photos import ShownPhotos
from services.tasks.privacy.pieces import UnreadableError
from tests.unit.services.tasks.privacy.rebuilt import in_chunks, rebuilt, rebuilt_if_possible
from tests.unit.services.tasks.privacy.telling import TELLING, opened, picture, pixels

FORMS = ["JPEG", "MPO", "PNG", "WEBP", "HEIF", "AVIF", "TIFF", "GIF", "BMP"]


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_tells_nothing_but_its_picture(form: str) -> None:
    data = picture(form)
    shown = rebuilt(data)
    assert TELLING in data
    assert TELLING not in shown
    assert np.array_equal(pixels(shown), pixels(data))
    assert dict(opened(shown).getexif().get_ifd(ExifTags.IFD.GPSInfo)) == {}


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"BMP", "GIF"}))
def test_colours_and_the_way_up_stay(form: str) -> None:
    before, after = opened(picture(form)), opened(rebuilt(picture(form)))
    assert after.info["icc_profile"] == before.info["icc_profile"]
    assert after.size == before.size  # some are turned while they are opened
    turned = ExifTags.Base.Orientation
    assert after.getexif().get(turned, 1) == before.getexif().get(turned, 1)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_shown_the_right_way_up(form: str, orientation: int) -> None:
    shown = opened(rebuilt(picture(form, orientation))).getexif()
    assert dict(shown) == ({ExifTags.Base.Orientation: orientation} if orientation > 1 else {})


@pytest.mark.parametrize("form", FORMS)
def test_a_clean_photo_stays_as_it_is(form: str) -> None:
    shown = rebuilt(picture(form))
    assert rebuilt(shown) == shown


# What happens to a photo happens to one of each form: to think it up takes ten times as long as to try it.


@given(share=st.floats(0, 1))
def test_a_photo_that_breaks_off_tells_nothing_either(share: float) -> None:
    for form in FORMS:
        note(form)
        data = picture(form)
        assert TELLING not in rebuilt_if_possible(data[: int(share * len(data))])


@given(wrong=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=200)
def test_a_damaged_photo_is_shown_or_refused_and_nothing_else(wrong: list[tuple[float, int]]) -> None:
    for form in FORMS:
        note(form)
        data = bytearray(picture(form))
        for share, value in wrong:
            data[int(share * min(len(data), 1500))] = value
        rebuilt_if_possible(bytes(data))


@given(rest=st.binary(max_size=300))
def test_what_only_begins_like_a_photo_is_shown_or_refused_and_nothing_else(rest: bytes) -> None:
    for form in FORMS:
        note(form)
        rebuilt_if_possible(picture(form)[:32] + rest)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UnreadableError):
        rebuilt(b"<svg>" + TELLING)


class Store:
    """One photo, which may change between two openings."""

    def __init__(self, *versions: bytes) -> None:
        self.versions = list(versions)
        self.openings = 0

    async def open(self, photo_id: str) -> StoredPhoto:
        self.openings += 1
        data = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        return StoredPhoto(len(data), in_chunks(data))


def shown_photos(store: Store) -> ShownPhotos:
    stored: PhotoStore = store  # type: ignore[assignment] - only its open is used
    return ShownPhotos(stored, 1000)


async def read(store: Store) -> bytes:
    photo = await shown_photos(store).open("photo")
    data = b"".join([chunk async for chunk in photo.chunks])
    assert len(data) == photo.size
    return data


async def test_a_small_photo_is_read_once_a_large_one_again_while_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(picture("JPEG"))
    once = await read(store)
    assert store.openings == 1
    monkeypatch.setattr(photos, "HELD_BYTES", 10)
    assert await read(store) == once
    assert store.openings == 3


async def test_a_photo_that_is_shorter_the_second_time_never_looks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "HELD_BYTES", 10)
    with pytest.raises(EOFError):
        await read(Store(picture("JPEG"), picture("JPEG")[:1000]))


async def test_a_photo_that_is_too_large_to_look_at_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MOST_BYTES", 100)
    with pytest.raises(UnreadableError):
        await read(Store(picture("JPEG")))
