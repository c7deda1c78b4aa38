"""Receiving a form: the app's exact bytes, however they are cut, whatever is wrong with them."""

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from contracts.events import PhotoKind
from services.chassis.problems import Problem
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import PhotoMetadata, PhotoStoreError, PhotoWriter
from services.tasks.uploads import (
    BROKEN,
    FIELD_BYTES,
    NO_BOUNDARY,
    PART_COUNT,
    WRONG_BOUNDARY,
    Form,
    Limits,
    UploadedPhoto,
    received,
)
from tests.unit.services.analysis.thermography.sensors import kelvin_picture, uni_t_bmp
from tests.unit.services.tasks.forms import BOUNDARY, CONTENT_TYPE, app_form, dart_form, pair, photo
from tests.unit.services.tasks.privacy.telling import picture

LIMITS = Limits(photo_bytes=20_000, photos=4)
PIECE = 64 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> FilePhotos:
    photos = FilePhotos(tmp_path / "photos")
    await photos.start()
    return photos


def request_of(messages: Iterable[Message], content_type: str | None = CONTENT_TYPE) -> Request:
    """A request whose body arrives in ``messages``; after them it never says anything again."""
    left = iter(messages)

    async def receive() -> Message:
        for message in left:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "path": "/detect_leak", "headers": headers}, receive)


def in_pieces(body: bytes, cuts: Sequence[int] = (), content_type: str = CONTENT_TYPE) -> Request:
    ends = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    return request_of(
        [
            *(
                {"type": "http.request", "body": body[start:end], "more_body": True}
                for start, end in itertools.pairwise(ends)
            ),
            {"type": "http.request", "body": b"", "more_body": False},
        ],
        content_type,
    )


async def read(store: Any, request: Request, limits: Limits = LIMITS) -> Form:
    async with received(request, store, "job", limits) as form:
        form.keep()
        return form


async def refusal(store: FilePhotos, request: Request, limits: Limits = LIMITS) -> Problem:
    with pytest.raises(Problem) as caught:
        await read(store, request, limits)
    assert files_in(store) == [], "a refused form has left a photo behind"
    return caught.value


def files_in(store: FilePhotos) -> list[str]:
    return sorted(path.name for path in store._folder.rglob("*") if path.is_file())


async def bytes_of(store: FilePhotos, photo_id: str) -> bytes:
    return b"".join([chunk async for chunk in (await store.open(photo_id)).chunks])


async def test_the_apps_form_is_read_as_it_was_meant(store: FilePhotos) -> None:
    files = pair(0) + pair(1)
    form = await read(store, in_pieces(app_form("t", files, title="Fenêtre côté nord 🪟", uid="zoë@example.com")))
    assert form.fields.keys() == {"uid", "task_json"}
    assert form.fields["uid"] == "zoë@example.com"
    assert '"title":"Fenêtre côté nord 🪟"' in form.fields["task_json"]
    assert form.photos == [
        UploadedPhoto(
            photo_id=form.photos[position].photo_id,
            kind=kind,
            observation=observation,
            position=position,
            name=name,
            media_type="image/jpeg",
            size=1000,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        for position, (kind, observation, (_, name, data)) in enumerate(
            zip([PhotoKind.RGB, PhotoKind.THERMAL] * 2, [0, 0, 1, 1], files, strict=True)
        )
    ]
    assert [await bytes_of(store, one.photo_id) for one in form.photos] == [data for _, _, data in files]


# What is inside is made to look like the form's own punctuation.
_TREACHEROUS = b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n\r\n--\r--\n" + b"\r\n--" + BOUNDARY.encode()[:20]
_SMALL_FORM = app_form(
    "t", [("media0", "obs0_rgb.jpg", photo(40) + _TREACHEROUS), ("media1", "obs0_thermal.jpg", photo(33) + b"\r")]
)


class _InMemory:
    """As much of a store as receiving needs, for many forms in a moment."""

    def __init__(self) -> None:
        self.photos: dict[str, bytearray] = {}

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> "_InMemoryWriter":
        return _InMemoryWriter(self.photos, photo_id)

    async def publish(self, writers: Sequence[PhotoWriter]) -> None:
        pass


class _InMemoryWriter:
    def __init__(self, photos: dict[str, bytearray], photo_id: str) -> None:
        self._photos, self._id = photos, photo_id

    async def write(self, data: bytes) -> None:
        self._photos.setdefault(self._id, bytearray()).extend(data)

    async def end(self, media_type: str, sha256: str) -> None:
        pass

    async def abort(self) -> None:
        self._photos.pop(self._id, None)


async def _parts(request: Request) -> tuple[dict[str, str], list[tuple[str, str, bytes]]]:
    store = _InMemory()
    form = await read(store, request)
    return form.fields, [(one.name, one.sha256, bytes(store.photos[one.photo_id])) for one in form.photos]


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, len(_SMALL_FORM)), max_size=12))
async def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int]) -> None:
    assert await _parts(in_pieces(_SMALL_FORM, cuts)) == await _parts(in_pieces(_SMALL_FORM))


async def test_a_form_may_come_byte_by_byte(store: FilePhotos) -> None:
    form = await read(store, in_pieces(_SMALL_FORM, range(len(_SMALL_FORM))))
    assert [one.size for one in form.photos] == [40 + len(_TREACHEROUS), 34]


async def test_fields_may_follow_the_files(store: FilePhotos) -> None:
    end = f"--{BOUNDARY}--\r\n".encode()
    body = dart_form({}, pair()).removesuffix(end) + dart_form({"uid": "u", "task_json": "{}"})
    form = await read(store, in_pieces(body))
    assert form.fields == {"uid": "u", "task_json": "{}"}
    assert len(form.photos) == 2


async def test_a_client_may_call_every_photo_media(store: FilePhotos) -> None:
    files = [("media", name, data) for _, name, data in pair(0) + pair(1)]
    form = await read(store, in_pieces(dart_form({}, files)))
    assert [(one.kind, one.observation) for one in form.photos] == [
        ("rgb", 0),
        ("thermal", 0),
        ("rgb", 1),
        ("thermal", 1),
    ]


@pytest.mark.parametrize(
    ("names", "described"),
    [
        (["OBS7_THERMAL.JPG", "obs12_rgb.png"], [("thermal", 7), ("rgb", 12)]),
        (["a.jpg", "b.jpg", "c.jpg"], [("rgb", 0), ("rgb", 1), ("rgb", 2)]),
        (["a.jpg", "thermal.jpg", "b.jpg", "b thermal.jpg"], [("rgb", 0), ("thermal", 0), ("rgb", 1), ("thermal", 1)]),
        (["obs99999_rgb.jpg"], [("rgb", 0)]),
        (["", "\\"], [("rgb", 0), ("rgb", 1)]),
    ],
)
async def test_names_tell_kind_and_observation_where_they_can(
    store: FilePhotos, names: list[str], described: list[tuple[str, int]]
) -> None:
    form = await read(store, in_pieces(dart_form({}, [("media", name, photo()) for name in names])))
    assert [(one.kind, one.observation) for one in form.photos] == described


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("obs0_rgb.jpg", "obs0_rgb.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\obs0_rgb.jpg", "obs0_rgb.jpg"),
        ("Fenêtre 窓.jpg", "Fenêtre 窓.jpg"),
        ('a"b\n<script>.jpg', "a_b___script_.jpg"),
        ("x" * 300 + ".jpg", "x" * 196 + ".jpg"),
        ("", "photo"),
        ("..", "photo"),
        (".htaccess", "htaccess"),
    ],
)
async def test_file_names_are_stored_without_anything_treacherous(store: FilePhotos, sent: str, stored: str) -> None:
    form = await read(store, in_pieces(dart_form({}, [("media0", sent, photo())])))
    assert form.photos[0].name == stored


async def test_a_form_without_photos_is_a_form(store: FilePhotos) -> None:
    form = await read(store, in_pieces(app_form("t")))
    assert form.photos == []
    assert files_in(store) == []


async def test_fields_that_nobody_asked_for_are_passed_over(store: FilePhotos) -> None:
    form = await read(store, in_pieces(dart_form({"uid": "u", "other": "x" * (2 * FIELD_BYTES)}, pair())))
    assert form.fields == {"uid": "u"}
    assert len(form.photos) == 2
    assert len(files_in(store)) == 2


@pytest.mark.parametrize("name", ["files[]", "media[]", "photo", "photos[0]", "file", "Media0", "xmedia", "bild", ""])
async def test_a_file_is_a_photo_whatever_its_field_is_called(store: FilePhotos, name: str) -> None:
    form = await read(store, in_pieces(dart_form({"uid": "u"}, [(name, file, data) for _, file, data in pair(3)])))
    assert [(one.kind, one.observation) for one in form.photos] == [("rgb", 3), ("thermal", 3)]


async def test_a_file_that_is_no_photo_is_told_whatever_its_field_is_called(store: FilePhotos) -> None:
    problem = await refusal(store, in_pieces(dart_form({}, [("attachment", "a.pdf", b"%PDF"), *pair()])))
    assert (problem.status, problem.detail.split(".")[0]) == (422, "a")
    assert "a.pdf is not a photo" in problem.detail


def one_part(headers: str, data: bytes) -> bytes:
    """A form with one part whose headers are written as they are given."""
    return f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("filename*=UTF-8''obs4_thermal.jpg", "obs4_thermal.jpg"),
        ("filename*=utf-8''Fen%C3%AAtre%20obs4_thermal.jpg", "Fenêtre obs4_thermal.jpg"),
        ("filename*=\"UTF-8''obs4_thermal.jpg\"", "obs4_thermal.jpg"),
        ("FileName*=ISO-8859-1'fr'Fen%EAtre%20obs4_thermal.jpg", "Fenêtre obs4_thermal.jpg"),
        ("filename*0=obs4_; filename*1=thermal.jpg", "obs4_thermal.jpg"),
        ("filename=obs4_thermal.jpg; filename*=UTF-8''obs5_rgb.jpg", "obs4_thermal.jpg"),
        ("filename*=utf-8''..%2F..%2Fobs4_thermal.jpg", "obs4_thermal.jpg"),
    ],
)
async def test_a_file_name_in_the_extended_notation_is_read(store: FilePhotos, parameter: str, name: str) -> None:
    body = one_part(f'content-disposition: form-data; name="media0"; {parameter}', photo())
    (stored,) = (await read(store, in_pieces(body))).photos
    assert (stored.name, stored.kind, stored.observation) == (name, "thermal", 4)


@pytest.mark.parametrize(
    "parameter", ["filename*=", "filename*=x", "filename*=no-such''a", "filename*=\0''a", "filename*=''"]
)
async def test_a_file_name_that_cannot_be_read_loses_no_photo(store: FilePhotos, parameter: str) -> None:
    body = one_part(f'content-disposition: form-data; name="media0"; {parameter}', photo())
    assert len((await read(store, in_pieces(body))).photos) == 1


@pytest.mark.parametrize("headers", ["", "\r\ncontent-type: image/jpeg", "\r\ncontent-type: text/plain"])
async def test_a_photo_without_a_file_name_is_answered_422_with_what_to_send(store: FilePhotos, headers: str) -> None:
    body = one_part(f'content-disposition: form-data; name="media0"{headers}', photo())
    for cuts in ([], range(len(body))):
        problem = await refusal(store, in_pieces(body, cuts))
        assert problem.status == 422
        assert "'media0' holds a photo but names no file" in problem.detail


async def test_photos_in_a_form_within_the_form_are_answered_422_with_what_to_send(store: FilePhotos) -> None:
    headers = 'content-disposition: form-data; name="media"\r\ncontent-type: multipart/mixed; boundary=inner'
    problem = await refusal(store, in_pieces(one_part(headers, b"--inner\r\n\r\n" + photo() + b"\r\n--inner--")))
    assert problem.status == 422
    assert "media0, media1" in problem.detail


async def test_a_field_may_come_as_a_file(store: FilePhotos) -> None:
    form = await read(store, in_pieces(dart_form({"uid": "u"}, [("task_json", "blob", b"{}"), *pair()])))
    assert form.fields == {"uid": "u", "task_json": "{}"}
    assert len(form.photos) == 2


async def test_of_a_repeated_field_the_first_counts(store: FilePhotos) -> None:
    end = f"--{BOUNDARY}--\r\n".encode()
    form = await read(store, in_pieces(dart_form({"uid": "first"}).removesuffix(end) + dart_form({"uid": "second"})))
    assert form.fields == {"uid": "first"}


async def test_a_quoted_boundary_and_other_capitals_are_understood(store: FilePhotos) -> None:
    body = dart_form({"uid": "u"})
    request = request_of(
        [{"type": "http.request", "body": body, "more_body": False}], f'Multipart/Form-Data; Boundary="{BOUNDARY}"'
    )
    assert (await read(store, request)).fields == {"uid": "u"}


_BOUNDARY_CHARACTERS = "0aZ'()+_,-./:=?"  # RFC 2046, but for the space


@pytest.mark.parametrize("boundary", [*(f"a{one}b" for one in _BOUNDARY_CHARACTERS), "=_?(a,b/c:d)", "==", "a b"])
@pytest.mark.parametrize(
    "written", ["boundary={}", "boundary={} ; charset=utf-8", "charset=utf-8;boundary = {}", 'boundary="{}"']
)
async def test_a_boundary_is_understood_with_and_without_quotes(store: FilePhotos, boundary: str, written: str) -> None:
    body = app_form("t", pair()).replace(BOUNDARY.encode(), boundary.encode())
    message = {"type": "http.request", "body": body, "more_body": False}
    form = await read(store, request_of([message], f"multipart/form-data; {written.format(boundary)}"))
    assert len(form.photos) == 2


@pytest.mark.parametrize("content_type", [None, "", "application/json", "application/x-www-form-urlencoded", "\xff"])
async def test_what_is_no_form_is_answered_415(store: FilePhotos, content_type: str | None) -> None:
    problem = await refusal(store, request_of([{"type": "http.request", "body": b"{}"}], content_type))
    assert problem.status == 415
    assert "multipart/form-data" in problem.detail


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data;",
    ],
)
async def test_a_missing_boundary_is_answered_400_and_named(store: FilePhotos, content_type: str) -> None:
    message = {"type": "http.request", "body": app_form("t", pair()), "more_body": False}
    problem = await refusal(store, request_of([message], content_type))
    assert (problem.status, problem.detail) == (400, NO_BOUNDARY)


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=other", CONTENT_TYPE + "x", CONTENT_TYPE[:-1]])
@pytest.mark.parametrize("cuts", [[], range(200)])
async def test_a_wrong_boundary_is_answered_400_and_named(
    store: FilePhotos, content_type: str, cuts: Sequence[int]
) -> None:
    problem = await refusal(store, in_pieces(app_form("t", pair()), cuts, content_type))
    assert (problem.status, problem.detail) == (400, WRONG_BOUNDARY)


@pytest.mark.parametrize("kept", [0, 1, 100, 900, 1500, len(app_form("t", pair())) - 5])
async def test_a_truncated_form_is_answered_400(store: FilePhotos, kept: int) -> None:
    problem = await refusal(store, in_pieces(app_form("t", pair())[:kept]))
    assert (problem.status, problem.detail) == (400, BROKEN)


_DAMAGE = st.tuples(
    st.integers(0, len(_SMALL_FORM)),
    st.integers(0, 40),
    st.sampled_from([b"", b"\n", b"\r\n", b'"', b"\x00", b"\xff", b": ", b"; ", b"--", BOUNDARY.encode()]),
)


@settings(max_examples=50, deadline=None)
@given(damages=st.lists(_DAMAGE, min_size=1, max_size=4), cuts=st.lists(st.integers(0, len(_SMALL_FORM)), max_size=4))
async def test_a_damaged_form_is_a_form_or_a_refusal(damages: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    body = bytearray(_SMALL_FORM)
    for start, length, instead in damages:
        body[start : start + length] = instead
    store = _InMemory()
    try:
        form = await read(store, in_pieces(bytes(body), cuts))
    except Problem as problem:
        assert problem.status in (400, 413, 422)  # noqa: PT017 - damage that is not seen is no error
        assert store.photos == {}
    else:
        assert store.photos.keys() == {one.photo_id for one in form.photos}


async def test_a_photo_that_is_too_large_is_answered_413(store: FilePhotos) -> None:
    files = [*pair(), ("media2", "obs1_rgb.jpg", photo(3 * 2**20 + 1))]
    problem = await refusal(store, in_pieces(app_form("t", files), range(0, 2**22, PIECE)), Limits(3 * 2**20, 4))
    assert problem.status == 413
    assert "obs1_rgb.jpg is larger than 3 MB" in problem.detail


async def test_a_photo_of_the_largest_size_is_taken(store: FilePhotos) -> None:
    assert (await read(store, in_pieces(app_form("t", pair(size=20_000))))).photos[0].size == 20_000


async def test_a_limit_below_a_megabyte_is_told_as_it_is(store: FilePhotos) -> None:
    problem = await refusal(store, in_pieces(app_form("t", pair(size=104_858))), Limits(104_857, 4))
    assert "larger than 0.1 MB" in problem.detail


async def test_too_many_photos_are_answered_422(store: FilePhotos) -> None:
    files = [("media", f"obs{number}_rgb.jpg", photo()) for number in range(5)]
    problem = await refusal(store, in_pieces(app_form("t", files)))
    assert problem.status == 422
    assert "more than 4 photos" in problem.detail


async def test_too_many_parts_are_a_refusal(store: FilePhotos) -> None:
    body = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="x"\r\n\r\n\r\n'.encode() * (PART_COUNT + 1)
    assert (await refusal(store, in_pieces(body + dart_form({"uid": "u"})))).status == 400


async def test_an_empty_photo_is_told_by_name(store: FilePhotos) -> None:
    problem = await refusal(store, in_pieces(app_form("t", [*pair(), ("media2", "obs1_rgb.jpg", b"")])))
    assert problem.status == 422
    assert "obs1_rgb.jpg is empty" in problem.detail


@pytest.mark.parametrize("data", [b"x", b"%PDF-1.7" * 10, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8"])
async def test_what_is_no_photo_is_told_by_name(store: FilePhotos, data: bytes) -> None:
    body = app_form("t", [*pair(), ("media2", "obs1_rgb.jpg", data)])
    for cuts in ([], range(len(body) - 400, len(body))):  # whole, and byte by byte
        problem = await refusal(store, in_pieces(body, cuts))
        assert problem.status == 422
        assert "obs1_rgb.jpg is not a photo" in problem.detail


async def test_a_field_that_is_too_large_is_answered_413(store: FilePhotos) -> None:
    body = dart_form({"uid": "u", "task_json": "x" * (FIELD_BYTES + 1)})
    problem = await refusal(store, in_pieces(body, range(0, len(body), PIECE)))
    assert problem.status == 413
    assert "'task_json'" in problem.detail


@pytest.mark.parametrize("form", ["TIFF", "BMP"])
async def test_a_tiff_or_bmp_of_a_thermal_camera_is_taken(store: FilePhotos, form: str) -> None:
    celsius = np.linspace(5, 25, 40 * 60).reshape(40, 60)
    levels = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
    data = kelvin_picture(celsius, "TIFF", 100) if form == "TIFF" else uni_t_bmp(levels, 5, 12, 25)
    body = app_form("t", [("media0", "obs0_thermal.bin", data)])
    for cuts in ([], range(0, len(body), 101)):
        got = await read(store, in_pieces(body, cuts))
        assert [(one.media_type, one.size) for one in got.photos] == [(f"image/{form.lower()}", len(data))]


@pytest.mark.parametrize("form", ["TIFF", "GIF", "BMP", "AVIF"])
async def test_a_picture_that_analysis_cannot_read_is_refused_with_what_to_send(store: FilePhotos, form: str) -> None:
    body = app_form("t", [("media0", "obs1_rgb.jpg", picture(form)[:10_000])])
    problem = await refusal(store, in_pieces(body))
    assert (problem.status, problem.detail) == (
        422,
        "obs1_rgb.jpg is not a photo that we can read. Please send a JPEG, PNG, WebP or HEIC picture.",
    )


async def test_a_field_that_is_no_text_is_answered_422(store: FilePhotos) -> None:
    problem = await refusal(store, in_pieces(dart_form({"uid": "café"}).replace("é".encode(), b"\xe9")))
    assert problem.status == 422
    assert "'uid'" in problem.detail


async def test_a_client_that_leaves_is_an_upload_that_broke_off(store: FilePhotos) -> None:
    body = app_form("t", pair(size=5000))
    messages = [{"type": "http.request", "body": body[:9000], "more_body": True}, {"type": "http.disconnect"}]
    problem = await refusal(store, request_of(messages))
    assert (problem.status, problem.detail) == (400, BROKEN)


async def test_an_error_of_whoever_reads_the_form_removes_its_photos(store: FilePhotos) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the context is what is tested
        async with received(in_pieces(app_form("t", pair())), store, "job", LIMITS) as form:
            assert len(files_in(store)) == len(form.photos) == 2
            raise ZeroDivisionError
    assert files_in(store) == []


async def test_a_form_that_nobody_keeps_is_removed(store: FilePhotos) -> None:
    async with received(in_pieces(app_form("t", pair())), store, "job", LIMITS):
        pass
    assert files_in(store) == []


async def test_a_kept_form_stays_whatever_happens_next(store: FilePhotos) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the context is what is tested
        async with received(in_pieces(app_form("t", pair())), store, "job", LIMITS) as form:
            form.keep()
            raise ZeroDivisionError
    assert len(files_in(store)) == 2


@pytest.mark.parametrize("received_bytes", [600, 2000, 4200])
@pytest.mark.parametrize("rounds", range(6))
async def test_a_cancelled_upload_leaves_nothing(store: FilePhotos, received_bytes: int, rounds: int) -> None:
    body = app_form("t", pair(size=3000))[:received_bytes]
    messages = [{"type": "http.request", "body": body, "more_body": True}]
    upload = asyncio.create_task(read(store, request_of(messages)))
    for _ in range(rounds):  # at each of its steps
        await asyncio.sleep(0)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert files_in(store) == []


class _SlowWriter:
    """Notes what is asked of it; holds on to a byte count only."""

    def __init__(self, log: list[int]) -> None:
        self._log = log

    async def write(self, data: bytes) -> None:
        self._log.append(len(data))

    async def end(self, media_type: str, sha256: str) -> None:
        self._log.append(0)

    async def abort(self) -> None:
        """Nothing is kept."""


class _Recorder(FilePhotos):
    """A store whose writers only note how much they are handed at once."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.pieces: list[int] = []

    async def publish(self, writers: Sequence[PhotoWriter]) -> None:
        """There is nothing."""

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> Any:
        return _SlowWriter(self.pieces)


async def test_a_large_photo_passes_through_in_the_pieces_in_which_it_came() -> None:
    """Never more than one piece of the stream is held: each is handed on before the next one is asked for."""
    size = 25 * 2**20
    head, end = dart_form({}, [("media0", "obs0_rgb.jpg", photo(32))]).split(photo(32))
    store = _Recorder()
    sent = 0

    async def receive() -> Message:
        nonlocal sent
        assert sum(store.pieces) >= sent - PIECE, "more is read although the last piece has not been written"
        if sent >= size:
            return {"type": "http.request", "body": end, "more_body": False}
        piece = photo(PIECE) if sent == 0 else bytes(PIECE)
        sent += len(piece)
        return {"type": "http.request", "body": (head + piece) if sent == PIECE else piece, "more_body": True}

    request = Request(
        {"type": "http", "method": "POST", "headers": [(b"content-type", CONTENT_TYPE.encode())]}, receive
    )
    form = await read(store, request, Limits(size, 1))
    assert form.photos[0].size == sum(store.pieces) == size
    assert max(store.pieces) <= PIECE + len(BOUNDARY) + 8


class _Away(FilePhotos):
    """A store that has gone away: every writer fails, each after a while."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.aborting = self.most_aborting = 0

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> PhotoWriter:
        outer = self

        class Writer:
            async def write(self, data: bytes) -> None:
                """Taken: the store goes away later."""

            async def end(self, media_type: str, sha256: str) -> None:
                if metadata.filename.endswith("obs1_thermal.jpg"):
                    raise PhotoStoreError("gone")

            async def abort(self) -> None:
                outer.aborting += 1
                outer.most_aborting = max(outer.most_aborting, outer.aborting)
                await asyncio.sleep(0.01)
                outer.aborting -= 1

        return Writer()


async def test_while_the_store_is_away_all_photos_are_given_up_at_once() -> None:
    store = _Away()
    with pytest.raises(PhotoStoreError):
        await read(store, in_pieces(app_form("t", pair(0) + pair(1))))
    assert store.most_aborting == 4
