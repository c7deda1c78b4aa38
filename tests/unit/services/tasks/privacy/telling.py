"""Pictures that tell where they were taken, in every place that their form has for it, and readers of what remains."""

import io
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from tests.unit.services.tasks.privacy.colours import profile

pillow_heif.register_heif_opener()

TELLING = b"40.4406N 79.9959W"
"""What may not come out. It is text wherever a field takes text; coordinates stand beside it as numbers."""

PROFILE = profile(TELLING)
COORDINATES = (40.0, 26.0, 26.16)


def exif(orientation: int = 6) -> Image.Exif:
    """EXIF as a phone writes it."""
    told = Image.Exif()
    told[ExifTags.Base.Orientation] = orientation
    for tag in ("Make", "Model", "Artist", "ImageDescription", "DateTime"):
        told[ExifTags.Base[tag]] = TELLING.decode()
    told.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: COORDINATES,
            ExifTags.GPS.GPSAreaInformation: TELLING,
        }
    )
    told.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.BodySerialNumber: TELLING.decode(), ExifTags.Base.UserComment: TELLING}
    )
    return told


def xmp() -> bytes:
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><exif:GPSLatitude>' + TELLING + b"</exif:GPSLatitude></x:xmpmeta>"


def image(size: tuple[int, int] = (48, 32), seed: int = 0) -> Image.Image:
    """Noise in colours."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


@cache
def picture(form: str, orientation: int = 6) -> bytes:
    """A picture of that form (Pillow's name) that tells wherever it can."""
    told, also = exif(orientation), {}
    shown: Any = image()
    if form == "JPEG":
        also = {"exif": told, "xmp": xmp(), "comment": TELLING, "icc_profile": PROFILE}
    elif form == "MPO":
        also = {"exif": told, "save_all": True, "append_images": [image(seed=1)], "icc_profile": PROFILE}
    elif form == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Location", TELLING.decode())
        text.add_text("Compressed", TELLING.decode(), zip=True)
        text.add_itxt("XML:com.adobe.xmp", xmp().decode())
        text.add(b"tIME", b"\x07\xea\x0b\x17\x02\x05\x1c")
        text.add(b"prVt", TELLING, after_idat=True)
        also = {"exif": told, "pnginfo": text, "icc_profile": PROFILE}
    elif form == "WEBP":
        also = {"exif": told, "xmp": xmp(), "icc_profile": PROFILE, "lossless": True}
    elif form in ("HEIF", "AVIF"):
        also = {"exif": told.tobytes(), "xmp": xmp(), "icc_profile": PROFILE, "quality": 90}
    elif form == "TIFF":
        also = {"exif": told, "icc_profile": PROFILE, "compression": "tiff_lzw"}
    elif form == "GIF":
        shown = shown.quantize(16)
        also = {"comment": TELLING, "save_all": True, "append_images": [image(seed=1).quantize(16)], "loop": 3}
    buffer = io.BytesIO()
    shown.save(buffer, form, **also)
    data = buffer.getvalue()
    if form == "GIF":
        magic = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # how XMP ends in a GIF
        data = data[:-1] + b"!\xff\x0bXMP DataXMP" + xmp() + magic + data[-1:]
    return data + TELLING if form in ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP", "TIFF") else data


def large_jpeg() -> bytes:
    """A picture of some megabytes that tells."""
    buffer = io.BytesIO()
    image((1600, 1200)).save(buffer, "JPEG", quality=90, exif=exif(1), comment=TELLING)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    shown = Image.open(io.BytesIO(data))
    shown.load()
    return shown


def converted(shown: Image.Image) -> NDArray[np.uint8]:
    """The pixels of a picture as its colour profile has them shown on a usual screen."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(shown.info["icc_profile"]))
    screen = ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(shown.convert("RGB"), profile, screen, outputMode="RGB")
    assert turned is not None
    return np.asarray(turned)


def pixels(data: bytes) -> NDArray[np.uint8]:
    """All frames of a picture, not turned."""
    shown = opened(data)
    frames = []
    for number in range(getattr(shown, "n_frames", 1) if shown.format in ("GIF", "TIFF") else 1):
        shown.seek(number)
        frames.append(np.asarray(shown.convert("RGB")))
    return np.stack(frames)
