"""A photo is shown as it looks, and says nothing of where it was taken and by whom: whatever its form."""

import asyncio
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from PIL import ExifTags

from services.tasks.photos.store import PhotoStore, PhotoStoreError, StoredPhoto
from services.tasks.privacy import photos, plans
from services.tasks.privacy.photos import ShownPhotos, cleaned
from services.tasks.privacy.work import UnreadableError, Work
from tests.unit.services.tasks.privacy.endless import endless_cleaning
from tests.unit.services.tasks.privacy.rebuilt import in_chunks, rebuilt, rebuilt_if_possible
from tests.unit.services.tasks.privacy.telling import TELLING, converted, opened, picture, pixels

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
    assert np.array_equal(converted(after), converted(before))
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
        self.plan: bytes | None = None
        self.is_away = False
        self.openings = 0

    async def open(self, photo_id: str) -> StoredPhoto:
        self.openings += 1
        data = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        return StoredPhoto(len(data), in_chunks(data), self.plan)

    async def keep_plan(self, photo_id: str, plan: bytes) -> None:
        if self.is_away:
            raise PhotoStoreError("away")
        self.plan = plan


def shown_photos(store: Store) -> ShownPhotos:
    stored: PhotoStore = store  # type: ignore[assignment] - only these are used
    return ShownPhotos(stored, 1000)


async def read(store: Store, shown: ShownPhotos | None = None) -> bytes:
    photo = await (shown or shown_photos(store)).open("photo", "person")
    data = b"".join([chunk async for chunk in photo.chunks])
    assert len(data) == photo.size
    return data


@pytest.fixture
def times_cleaned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that a photo is cleaned."""
    times: list[int] = []

    def counted(photo: bytes, work: Work) -> Any:
        times.append(len(photo))
        return cleaned(photo, work)

    monkeypatch.setattr(photos, "cleaned", counted)
    return times


@pytest.mark.parametrize("held", [10, photos.HELD_BYTES])
async def test_a_photo_is_cleaned_once_whoever_shows_it_again(
    monkeypatch: pytest.MonkeyPatch, times_cleaned: list[int], held: int
) -> None:
    monkeypatch.setattr(photos, "HELD_BYTES", held)
    store = Store(picture("JPEG"))
    first = await read(store)
    assert await read(store) == first == rebuilt(picture("JPEG"))
    assert len(times_cleaned) == 1


async def test_many_requests_at_once_clean_a_photo_once(times_cleaned: list[int]) -> None:
    store = Store(picture("JPEG"))
    shown = shown_photos(store)
    answers = await asyncio.gather(*(read(store, shown) for _ in range(20)))
    assert set(answers) == {rebuilt(picture("JPEG"))}
    assert len(times_cleaned) == 1


async def test_a_photo_that_cannot_be_shown_is_looked_at_once(times_cleaned: list[int]) -> None:
    store = Store(b"\x89PNG\r\n\x1a\n" + bytes(100))
    for _ in range(3):
        with pytest.raises(UnreadableError):
            await read(store)
    assert len(times_cleaned) == 1


async def test_a_plan_of_other_rules_is_made_anew(monkeypatch: pytest.MonkeyPatch, times_cleaned: list[int]) -> None:
    store = Store(picture("JPEG"))
    await read(store)
    monkeypatch.setattr(plans, "RULES", plans.RULES + 1)
    assert await read(store) == rebuilt(picture("JPEG"))
    assert len(times_cleaned) == 2


async def test_a_photo_is_shown_while_its_plan_cannot_be_kept(times_cleaned: list[int]) -> None:
    store = Store(picture("JPEG"))
    store.is_away = True
    assert await read(store) == await read(store) == rebuilt(picture("JPEG"))
    assert len(times_cleaned) == 2


async def test_cleaning_ends_with_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = endless_cleaning(monkeypatch)
    store = Store(picture("JPEG"))
    reading = asyncio.create_task(read(store))
    assert await asyncio.to_thread(begun.wait, 10)
    reading.cancel()
    assert await asyncio.to_thread(ended.wait, 10)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert store.plan is None


async def test_a_picture_that_this_system_drew_is_not_looked_at(times_cleaned: list[int]) -> None:
    store = Store(picture("JPEG"))
    row = {"photoID": "photo", "kind": "report", "jobID": "0b0f7e5c-6f0e-4c55-9c5c-6f1f64dd4a0e"}
    photo = await shown_photos(store).open_listed(row, "person")
    assert b"".join([chunk async for chunk in photo.chunks]) == picture("JPEG")
    assert (photo.media_type, photo.size, times_cleaned) == ("image/jpeg", len(picture("JPEG")), [])


@pytest.mark.parametrize(
    ("kind", "job_id"),
    [("rgb", "0b0f7e5c-6f0e-4c55-9c5c-6f1f64dd4a0e"), ("report", str(uuid.uuid5(uuid.NAMESPACE_URL, "adopted")))],
)
async def test_what_a_person_or_the_old_backend_stored_is_cleaned(kind: str, job_id: str) -> None:
    store = Store(picture("JPEG"))
    photo = await shown_photos(store).open_listed({"photoID": "photo", "kind": kind, "jobID": job_id}, "person")
    assert b"".join([chunk async for chunk in photo.chunks]) == rebuilt(picture("JPEG"))


async def test_a_photo_that_is_shorter_the_second_time_never_looks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "HELD_BYTES", 10)
    with pytest.raises(EOFError):
        await read(Store(picture("JPEG"), picture("JPEG"), picture("JPEG")[:1000]))


async def test_a_photo_that_is_too_large_to_look_at_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MOST_BYTES", 100)
    with pytest.raises(UnreadableError):
        await read(Store(picture("JPEG")))
