"""What a photo tells of people and places beside its picture, looked for in whatever is given out."""

import io
from collections.abc import Callable

import pillow_heif
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from tests.e2e.app import App, image_of, task
from tests.unit.services.tasks.privacy.colours import profile

PLACE = b"40.4406N79.9959W"
OWNER = b"Serial-4711-of-Jane-Doe"
WHEN = b"2026:01:15 17:12:15"


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = OWNER.decode()
    exif[ExifTags.Base.DateTime] = WHEN.decode()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = PLACE
    return exif


def _picture() -> Image.Image:
    return Image.radial_gradient("L").resize((96, 72)).convert("RGB")


def _saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    _picture().save(file, kind, **options)
    return file.getvalue()


def _png() -> bytes:
    told = PngImagePlugin.PngInfo()
    told.add_text("Location", PLACE.decode())
    told.add_itxt("XML:com.adobe.xmp", f"<x>{OWNER.decode()}</x>")
    return _saved("PNG", exif=_exif(), pnginfo=told)


def _profile() -> bytes:
    """A colour profile that tells in each of its texts, and in its header."""
    return profile(PLACE + OWNER)


def _jpeg_with_a_thumbnail() -> bytes:
    """The thumbnail lies behind the density of the picture, and tells in its pixels."""
    plain, pixels = _saved("JPEG"), (PLACE + OWNER).ljust(60, b"-")
    head = b"\xff\xe0" + (16 + len(pixels)).to_bytes(2, "big") + plain[6:18] + b"\5\4" + pixels
    return plain[:2] + head + plain[20:]


def _heic() -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(_picture()).save(file, quality=30, exif=_exif().tobytes())
    return file.getvalue()


def _open(data: bytes) -> Image.Image:
    if data[4:8] == b"ftyp":
        return pillow_heif.open_heif(io.BytesIO(data)).to_pillow()
    return Image.open(io.BytesIO(data))


PHOTOS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: _saved("JPEG", exif=_exif(), comment=PLACE + OWNER, xmp=b"<x>" + OWNER + b"</x>"),
    "JPEG with more behind its end": lambda: _saved("JPEG") + _saved("JPEG", exif=_exif()),
    "PNG": _png,
    "WebP": lambda: _saved("WEBP", exif=_exif(), xmp=b"<x>" + OWNER + b"</x>"),
    "HEIC": _heic,
    "JPEG with a thumbnail": _jpeg_with_a_thumbnail,
    "JPEG with a colour profile": lambda: _saved("JPEG", icc_profile=_profile()),
    "PNG with a colour profile": lambda: _saved("PNG", icc_profile=_profile()),
    "WebP with a colour profile": lambda: _saved("WEBP", icc_profile=_profile()),
}


@pytest.mark.parametrize("photo_of", PHOTOS.values(), ids=PHOTOS)
def test_no_picture_that_is_given_out_tells_place_owner_or_time(thief: App, photo_of: Callable[[], bytes]) -> None:
    sent, photo = task(), photo_of()
    assert _tells(photo)  # or there would be nothing to hide
    answer = thief.submit(sent, [("obs0_rgb.jpg", photo)])
    assert answer.status == 200, answer.body
    state = thief.wait(answer.json()["jobId"])
    given_out = [image_of(state)] if state.get("image") else []
    for each in thief.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"]:
        served = thief.request("GET", f"/v1/tasks/{sent['id']}/photos/{each['photoID']}")
        assert served.status == 200, served.body
        _open(served.body).load()  # it is still a picture
        given_out.append(served.body)
    assert given_out
    assert not any(_tells(picture) for picture in given_out)


def _tells(picture: bytes) -> bool:
    """Whether it tells, in the clear or in a colour profile, which a PNG compresses."""
    told = picture + _open(picture).info.get("icc_profile", b"")
    return any(word in told for word in (PLACE, OWNER, WHEN))
