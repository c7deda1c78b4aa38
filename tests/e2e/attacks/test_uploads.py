"""Uploads made to break something: each is refused or comes to a clear end, leaves no photo behind, harms nobody."""

import asyncio
import hashlib
import io
import json
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from PIL import Image

from tests.e2e.app import BOUNDARY, App, image_of, multipart, task
from tests.e2e.conftest import Backend
from tests.unit.gateway.wire import ask, connected

FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(autouse=True)
def nothing_is_left(backend: Backend, thief: App, photo: bytes) -> Iterator[None]:
    """What was refused is gone, and the next submission is served as if nothing had been."""
    before = backend.inside.photos() - _shown(thief)
    yield
    end = time.monotonic() + 10
    while (left := backend.inside.photos() - _shown(thief) - before) and time.monotonic() < end:
        time.sleep(0.2)  # a connection that was cut is noticed soon, not at once
    assert left == 0
    job = thief.submit(task(), [("obs0_rgb.jpg", photo)]).json()["jobId"]
    assert thief.wait(job)["status"] == "done"


def _shown(app: App) -> int:
    """How many photos belong to the tasks of an account."""
    photos, cursor = 0, ""
    while True:
        page = app.request("GET", f"/v1/tasks?userID={app.uid}&limit=100{cursor}").json()
        photos += sum(len(each["photos"]) for each in page["tasks"])
        if page["next"] is None:
            return photos
        cursor = f"&before={quote(page['next'])}"


# ── what is in a file ─────────────────────────────────────────────────────────────────────────────────────────────


def _png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _zeros(size: int) -> bytes:
    compressor = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join(compressor.compress(piece) for _ in range(size >> 20)) + compressor.flush()


def _jpeg_of_declared_size(photo: bytes, width: int, height: int) -> bytes:
    at = photo.index(b"\xff\xc0") + 5
    return photo[:at] + struct.pack(">HH", height, width) + photo[at + 4 :]


def _heic_of_declared_size(width: int, height: int) -> bytes:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(file, quality=10)
    data = bytearray(file.getvalue())
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def _text_bomb() -> bytes:
    """A small PNG with a comment that unpacks to 64 MiB."""
    small = _png(64, 64, zlib.compress(bytes(64 * 193)))
    data = b"Comment\x00\x00" + _zeros(64 << 20)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return small[:33] + chunk + small[33:]


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "a PNG of 40,000 × 40,000 pixels": lambda _: _png(40_000, 40_000, _zeros(64 << 20)),
    "a PNG of the largest size there is": lambda _: _png(2**31 - 1, 2**31 - 1, _zeros(1 << 20)),
    "a PNG whose comment is a bomb": lambda _: _text_bomb(),
    "a PNG with more pixels than it declares": lambda _: _png(64, 64, _zeros(64 << 20)),
    "a JPEG that declares 65,500 × 65,500 pixels": lambda photo: _jpeg_of_declared_size(photo, 65_500, 65_500),
    "a HEIC that declares 60,000 × 60,000 pixels": lambda _: _heic_of_declared_size(60_000, 60_000),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_decompression_bomb_ends_in_a_sentence_or_is_read_within_bounds(
    thief: App, photo: bytes, bomb: Callable[[bytes], bytes]
) -> None:
    answer = thief.submit(task(), [("obs0_thermal.png", bomb(photo))])
    assert answer.status == 200, answer.body
    state = thief.wait(answer.json()["jobId"])
    assert state["status"] == "done" or "obs0_thermal.png" in state["error"], state


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("payload.html", "<script>alert(1)</script>" * 20)
    return file.getvalue()


def _saved(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (96, 72)).save(file, form)
    return file.getvalue()


NO_PHOTOS = {
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "HTML": b"<!doctype html><script>alert(document.domain)</script><!-- padding padding -->",
    "ZIP": _zip(),
    "PDF": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
    "a shell script": b"#!/bin/sh\nrm -rf / # and some more bytes, so that it has a head",
    "an ELF file": b"\x7fELF\x02\x01\x01" + bytes(64),
    "PHP": b"<?php system($_GET['c']); ?> and some more bytes, so that it has a head",
    "MVG, for ImageMagick": b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/)'\n",
    "a text that begins like a bitmap": b"BM is how a bitmap begins <script>alert(1)</script>",
    "an MP4": b"\x00\x00\x00\x20ftypisom" + bytes(64),
    "a TIFF": _saved("TIFF"),
    "a GIF and JAR": _saved("GIF") + _zip(),
    "a GIF and JavaScript": b"GIF89a/*" + bytes(30) + b"*/=1;alert(document.domain);//",
}


@pytest.mark.parametrize("content", NO_PHOTOS.values(), ids=NO_PHOTOS)
def test_what_is_no_photo_is_refused_whatever_it_is_called(thief: App, content: bytes) -> None:
    sent = task()
    answer = thief.submit(sent, [("obs0_rgb.jpg", content)])
    assert answer.status == 422, answer.body
    assert "obs0_rgb.jpg" in answer.json()["detail"]
    assert thief.request("GET", f"/v1/tasks/{sent['id']}").status == 404


POLYGLOTS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG and HTML": lambda photo: photo + b"<html><script>alert(1)</script></html>",
    "JPEG with HTML in its comment": lambda photo: (
        photo[:2] + b"\xff\xfe" + struct.pack(">H", 40) + b"<script>alert(1)</script>".ljust(38) + photo[2:]
    ),
    "JPEG and ZIP": lambda photo: photo + _zip(),
    "JPEG and PDF": lambda photo: photo + b"%PDF-1.7\n1 0 obj<</S/JavaScript/JS(app.alert(1))>>endobj",
}

SOMETHING_ELSE = (b"alert(", b"<script", b"PK\x03\x04", b"%PDF")


@pytest.mark.parametrize("polyglot", POLYGLOTS.values(), ids=POLYGLOTS)
def test_a_photo_that_is_something_else_too_is_never_served_as_that(
    thief: App, photo: bytes, polyglot: Callable[[bytes], bytes]
) -> None:
    sent = task()
    answer = thief.submit(sent, [("obs0_rgb.jpg.html", polyglot(photo))])
    if answer.status == 422:
        return
    assert answer.status == 200, answer.body
    state = thief.wait(answer.json()["jobId"])
    if state.get("image"):
        assert not any(sign in image_of(state) for sign in SOMETHING_ELSE)
    for each in thief.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"]:
        served = thief.request("GET", f"/v1/tasks/{sent['id']}/photos/{each['photoID']}")
        if served.status == 404:  # so odd a picture that it is not shown
            assert each["kind"] == "rgb"
            continue
        _is_inert(served)
        assert not any(sign in served.body for sign in SOMETHING_ELSE)


def _is_inert(served: object) -> None:
    assert served.status == 200  # type: ignore[attr-defined]
    headers = served.headers  # type: ignore[attr-defined]
    assert headers["content-type"] in ("image/jpeg", "image/png", "image/webp", "image/heic")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"] == "attachment"


def test_every_answer_tells_browsers_not_to_guess_its_type(backend: Backend, thief: App) -> None:
    for path in ("/", "/openapi.json", "/healthz", "/nowhere", "/v1/tasks", f"/v1/tasks?userID={thief.uid}"):
        assert thief.request("GET", path).headers["x-content-type-options"] == "nosniff", path


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = {
    "a path": "../../../../etc/cron.d/obs0_rgb.jpg",
    "an absolute path": "/etc/passwd",
    "a Windows path": "C:\\Windows\\System32\\obs0_rgb.jpg",
    "a UNC path": "\\\\thief.example.com\\share\\obs0_rgb.jpg",
    "nothing but dots": "..",
    "a NUL": "obs0_rgb.jpg\x00.html",
    "an escape sequence": "\x1b]0;owned\x07obs0_rgb.jpg",
    "HTML": "<img src=x onerror=alert(1)>.jpg",
    "a reversal of direction": "obs0_rgb\u202egpj.exe",
    "a template": "{{7*7}}${7*7}#{7*7}%(x)s{0}.jpg",
    "SQL": "'; DROP TABLE LeakageTask; -- .jpg",
    "a command": "$(touch /tmp/owned)`id`|id.jpg",
    "a device of Windows": "CON.jpg",
    "many letters": "a" * 1000 + ".jpg",
    "characters of four bytes": "\U0001fa9f\U00020000_rgb.jpg",
    "a line separator": "obs0\u2028rgb\u0085.jpg",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_of_a_file_name_only_letters_and_plain_signs_are_kept(thief: App, photo: bytes, name: str) -> None:
    sent = task()
    answer = thief.submit(sent, [(name.replace("\\", "\\\\"), photo)])
    if answer.status == 400:  # the form cannot be read
        return
    assert answer.status == 200, answer.body
    thief.wait(answer.json()["jobId"])
    for each in thief.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"]:
        assert 0 < len(each["name"]) <= 200
        assert each["name"] not in (".", "..")
        assert all(sign.isalnum() or sign in "_ .()+-" for sign in each["name"]), each["name"]


@pytest.mark.parametrize(
    "name", ['x"; filename="y.html', "obs0_rgb.jpg\r\ncontent-type: text/html\r\nx: ", "obs0_rgb.jpg\nSet-Cookie: a=b"]
)
def test_a_file_name_that_breaks_out_of_its_line_sets_no_header(thief: App, photo: bytes, name: str) -> None:
    sent = task()
    answer = thief.submit(sent, [(name, photo)])
    assert answer.status in (200, 400, 422)
    if answer.status != 200:
        assert thief.request("GET", f"/v1/tasks/{sent['id']}").status == 404
        return
    thief.wait(answer.json()["jobId"])
    for each in thief.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"]:
        served = thief.request("GET", f"/v1/tasks/{sent['id']}/photos/{each['photoID']}")
        _is_inert(served)
        assert "set-cookie" not in served.headers


def test_a_file_name_of_ten_thousand_letters_is_refused(thief: App, photo: bytes) -> None:
    assert thief.submit(task(), [("a" * 10_000 + ".jpg", photo)]).status == 400


# ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _send(app: App, body: bytes, content_type: str = FORM) -> int:
    return app.request("POST", "/leakage/detect_leak", body, content_type).status


def _good_form(app: App, photo: bytes, photos: int = 1) -> bytes:
    fields = {"uid": app.uid, "task_json": json.dumps(task())}
    return multipart(fields, [(f"obs{n}_rgb.jpg", photo) for n in range(photos)])


def test_ten_thousand_parts_are_refused(thief: App, photo: bytes) -> None:
    part = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="x"\r\n\r\n1\r\n'.encode()
    assert _send(thief, part * 10_000 + _good_form(thief, photo)) == 400


def test_more_photos_than_allowed_are_refused(thief: App, photo: bytes) -> None:
    assert _send(thief, _good_form(thief, photo, photos=101)) == 422


def test_a_field_of_two_mebibytes_is_refused(thief: App, photo: bytes) -> None:
    form = multipart({"uid": thief.uid, "task_json": "x" * (2 << 20)}, [("obs0_rgb.jpg", photo)])
    assert _send(thief, form) == 413


def test_a_photo_larger_than_allowed_is_refused(thief: App, photo: bytes) -> None:
    form = multipart({"uid": thief.uid, "task_json": json.dumps(task())}, [("obs0_rgb.jpg", photo + bytes(26 << 20))])
    assert _send(thief, form) == 413


def test_a_thousand_headers_of_a_part_are_refused(thief: App, photo: bytes) -> None:
    headers = b"".join(b"x-%d: y\r\n" % number for number in range(1000))
    form = _good_form(thief, photo).replace(b"content-type: application", headers + b"content-type: application", 1)
    assert _send(thief, form) == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=another",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 5000,
        'multipart/form-data; boundary="\\r\\n"',
        "multipart/mixed; boundary=" + BOUNDARY,
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
    ],
)
def test_a_form_under_another_description_is_refused(thief: App, photo: bytes, content_type: str) -> None:
    assert _send(thief, _good_form(thief, photo), content_type) in (400, 415)


def _nested(app: App, photo: bytes) -> bytes:
    inner = b"--inner\r\ncontent-disposition: file; filename=obs0_rgb.jpg\r\n\r\n" + photo + b"\r\n--inner--\r\n"
    head = (
        f"--{BOUNDARY}\r\ncontent-disposition: form-data; name=media0; filename=a.jpg\r\n"
        "content-type: multipart/mixed; boundary=inner\r\n\r\n"
    )
    fields = multipart({"uid": app.uid, "task_json": json.dumps(task())}, [])
    return head.encode() + inner + b"\r\n" + fields


BROKEN: dict[str, Callable[[App, bytes], bytes]] = {
    "without its last boundary": lambda app, photo: _good_form(app, photo).removesuffix(f"--{BOUNDARY}--\r\n".encode()),
    "cut off in the middle of a photo": lambda app, photo: _good_form(app, photo)[:-600],
    "without a first boundary": lambda app, photo: _good_form(app, photo)[30:],
    "nothing": lambda *_: b"",
    "noise": lambda *_: hashlib.shake_128(b"noise").digest(5000),
    "a form in a form": _nested,
    "cut off in the head of a part": lambda app, photo: _good_form(app, photo)[:100],
    "a part without a name": lambda app, photo: _good_form(app, photo).replace(b'name="media0"; ', b"", 1),
    "line feeds alone": lambda app, photo: _good_form(app, photo).replace(b"\r\n", b"\n"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_form_is_refused_and_never_passes_for_a_whole_one(
    thief: App, photo: bytes, broken: Callable[[App, bytes], bytes]
) -> None:
    body = broken(thief, photo)
    answer = thief.request("POST", "/detect_leak", body, FORM)
    if answer.status == 200:  # a part without a name is a part that we do not know
        assert b'name="media0"' not in body
        return
    assert answer.status in (400, 422), answer.body
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("file_type", ["image/svg+xml", "text/html", "application/x-msdownload"])
def test_the_type_that_a_client_claims_is_never_the_type_that_is_served(
    thief: App, photo: bytes, file_type: str
) -> None:
    sent = task()
    form = multipart({"uid": thief.uid, "task_json": json.dumps(sent)}, [("obs0_rgb.svg", photo)])
    answer = thief.request("POST", "/detect_leak", form.replace(b"application/octet-stream", file_type.encode()), FORM)
    thief.wait(answer.json()["jobId"])
    stored = thief.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"]
    for each in stored:
        _is_inert(thief.request("GET", f"/v1/tasks/{sent['id']}/photos/{each['photoID']}"))


# ── the stream ────────────────────────────────────────────────────────────────────────────────────────────────────


def _head(app: App, *lines: str) -> bytes:
    own = ("POST /leakage/detect_leak HTTP/1.1", "Host: door.example", f"Content-Type: {FORM}")
    return "\r\n".join([*own, f"Authorization: Bearer {app.bearer}", *lines, "", ""]).encode()


async def test_a_body_that_declares_too_much_is_refused_before_it_is_sent(backend: Backend, thief: App) -> None:
    assert (await ask(backend.port, _head(thief, f"Content-Length: {10**12}"))).status == 413


async def test_an_endless_body_is_cut_off_at_the_limit(backend: Backend, thief: App) -> None:
    """It is made of photos that are each small enough, so that nothing but the bound on the whole can stop it."""
    part = (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="x"; filename="x"\r\n\r\n'.encode() + b"\xff\xd8\xff\xe0"
    )
    start = b"%x\r\n%s\r\n" % (len(part), part)
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    async with connected(backend.port) as connection:
        await connection.send(_head(thief, "Transfer-Encoding: chunked") + start)
        part = b"\r\n" + part
        start = b"%x\r\n%s\r\n" % (len(part), part)
        answering = asyncio.create_task(connection.answer())
        sent = 0
        try:
            while not answering.done() and sent < 400:  # far beyond every limit
                await connection.send(chunk)
                sent += 1
                if sent % 20 == 0:
                    await connection.send(start)
        except ConnectionError:
            pass
        answer = await answering
    assert answer.status == 413, answer
    assert sent < 400


async def test_a_body_shorter_than_declared_leaves_nothing(backend: Backend, thief: App, photo: bytes) -> None:
    form = _good_form(thief, photo)
    async with connected(backend.port) as connection:
        await connection.send(_head(thief, f"Content-Length: {len(form) + 1000}") + form)
        await asyncio.sleep(0.3)  # so that it has arrived, and only the rest is awaited


async def test_a_body_longer_than_declared_is_not_read_beyond(backend: Backend, thief: App, photo: bytes) -> None:
    form = _good_form(thief, photo)
    try:
        answer = await ask(backend.port, _head(thief, f"Content-Length: {len(form) - 100}") + form)
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # the rest is no request: the connection may be gone before the answer
    assert answer.status == 400, answer


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(backend: Backend, thief: App, photo: bytes) -> None:
    form = _good_form(thief, photo)
    for cut in (10, len(form) // 2, len(form) - 3):
        async with connected(backend.port) as connection:
            await connection.send(_head(thief, f"Content-Length: {len(form)}") + form[:cut])
            await asyncio.sleep(0.1)


async def test_a_hundred_clients_that_send_a_byte_at_a_time_hold_up_nobody(
    backend: Backend, thief: App, photo: bytes
) -> None:
    """That each of them is cut off in the end is shown where the clock can be hurried (the gateway's unit tests)."""
    form = _good_form(thief, photo)
    slow = [await asyncio.open_connection("127.0.0.1", backend.port) for _ in range(100)]
    try:
        for _, writer in slow:
            writer.write(_head(thief, f"Content-Length: {len(form)}"))
        for byte in form[:3]:
            for _, writer in slow:
                writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        sent = task()
        answer = await asyncio.to_thread(thief.submit, sent, [("obs0_rgb.jpg", photo)])
        assert answer.status == 200, answer.body
        state = await asyncio.to_thread(thief.wait, answer.json()["jobId"])
        assert state["status"] == "done"
    finally:
        for _, writer in slow:
            writer.close()


async def test_many_damaged_uploads_at_once_leave_nothing(backend: Backend, thief: App, photo: bytes) -> None:
    form = _good_form(thief, photo)
    broken = [form[: len(form) * part // 41] for part in range(1, 41)]
    heads = [_head(thief, f"Content-Length: {len(body)}") for body in broken]
    answers = await asyncio.gather(*(ask(backend.port, h + b) for h, b in zip(heads, broken, strict=True)))
    assert {answer.status for answer in answers} <= {400, 422}
