"""Opening an uploaded photo safely: whatever it is, it ends in an upright RGB picture or in a sentence for a person.

The header is read first and refuses what would cost too much memory, so a decompression bomb is never decoded. A JPEG
is decoded scaled down where a smaller picture is wanted: a 12 megapixel photo then costs a third of the time.
"""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms

from services.analysis.thermography.reading.decoding_cost import (
    CostlyPhotoError,
    is_matrix_profile,
    jpeg_exif,
    jpeg_profile,
    jpeg_to_decode,
    orientation_of,
    png_exif,
    png_profile,
    png_to_decode,
    raise_if_webp_costly,
)
from services.analysis.thermography.reading.heif_cost import heif_to_decode
from services.analysis.thermography.reading.sensor.headers import is_sensor_tiff, uni_t_notes

MIN_SIDE_PX = 32
"""Smaller pictures show nothing that could be analysed."""

MAX_ASPECT = 12
"""Times as long as wide that a picture may be: a long screenshot or a panorama is not longer."""

MAX_PIXELS = {
    "JPEG": 64_000_000,
    "PNG": 30_000_000,
    "WEBP": 14_000_000,
    "HEIF": 30_000_000,
    "TIFF": 4_200_000,
    "BMP": 4_200_000,
}
"""Largest picture that is decoded, per format.

Measured, peak of a worker that holds 97 MB before its first photo, with one photo of that size: JPEG 135 MB (in several
scans, of :data:`MAX_COEFFICIENTS`, 260 MB), PNG 290 MB, WebP 310 MB, HEIF 300 MB.
"""

MAX_COEFFICIENTS = 80_000_000
"""Of a JPEG in several scans (progressive), which are all held until the last scan has come, two bytes each.

Enough for 53 megapixels with colours at half the resolution, as is usual, and for 27 with full colours.
"""

_SOF_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), 0xC2  # of them
_SCAN, _END = 0xDA, b"\xff\xd9"
_SCAN_HEAD = re.compile(rb"\xff\xda..(.)", re.DOTALL)  # with the number of its channels
_NOT_FILL = re.compile(rb"[^\xff]")
_MOST_PROFILE_BYTES = 4_000_000  # of an ICC profile: cameras and phones write 0.5 to 3 kB, printers up to 3 MB
_READ_AHEAD = 64  # bytes; the decoder reads at most 8 ahead
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_ANIMATION = "The picture is an animation: only its first frame was used."
_CUT_OFF = "The photo is incomplete: its upload or its file was cut off. Please send it again."


class UnreadablePhotoError(Exception):
    """The bytes are no photo that can be used; the message is a sentence that tells the homeowner why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo, turned upright."""

    rgb: NDArray[np.uint8]  # (h, w, 3), C-contiguous; may be smaller than the photo
    size: tuple[int, int]  # (w, h) of the upright photo itself, in its own pixels
    notes: tuple[str, ...] = ()  # what a person should know about how it was read


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, payload) of every segment of a JPEG up to the head of its first scan."""
    for marker, start, end in _segments(data):
        yield marker, data[start:end]


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of every segment of a JPEG up to the head of its first scan, and where its payload lies.

    Stops quietly where the bytes stop making sense: what was found until there counts.
    """
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes
            filled = _NOT_FILL.search(data, at)
            if filled is None:
                return
            at = filled.start() - 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a payload
            at += 2
            continue
        if marker == 0xD9:
            return
        length = struct.unpack_from(">H", data, at + 2)[0]
        if length < 2:
            return
        yield marker, at + 4, at + 2 + length
        if marker == _SCAN:
            return
        at += 2 + length


def photo_format(data: bytes) -> str | None:
    """Name the format by its first bytes: JPEG, PNG, WEBP, HEIF (what phones call HEIC), or None.

    BMP and TIFF count only where a thermal camera or its program wrote them.
    """
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "HEIF"
    if is_sensor_tiff(data):
        return "TIFF"
    if uni_t_notes(data) is not None:
        return "BMP"
    return None


def open_picture(data: bytes, *, enough: int) -> Picture:
    """Decode a photo upright, at the smallest of the sizes that cost little whose longer side has ``enough`` pixels.

    That is less than twice as many. A photo that has fewer is decoded as it is.

    The first frame of an animation or of a multi-picture file is taken. Transparency is dropped, 16-bit grey is
    stretched between its lowest and highest value, CMYK is converted.

    Raises :class:`UnreadablePhotoError`.
    """
    name = _checked_format(data)
    notes: list[str] = []
    try:
        needed, orientation = _bounded(data, name, notes)
    except CostlyPhotoError as error:
        raise UnreadablePhotoError(str(error)) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF; it must not become an error of ours
            image = _open(needed, name)
            if name == "WEBP":
                orientation = orientation_of(image.info.get("exif", b""))
            _check_size(image.size, name)
            if getattr(image, "n_frames", 1) > 1 and name == "WEBP":
                notes.append(_ANIMATION)
            full = image.size
            if name == "JPEG":
                image.draft(None, fit(full, enough))
            image.load()
            rgb = _in_srgb(_as_rgb(image, enough), _profile(data, name, image))
    except UnreadablePhotoError:
        raise
    except Exception as error:  # the decoders raise anything at all on hostile bytes
        raise UnreadablePhotoError(_damage(error)) from error
    upright = np.ascontiguousarray(_turned(rgb, orientation))
    return Picture(upright, full[::-1] if orientation >= 5 else full, tuple(notes))


def _checked_format(data: bytes) -> str:
    if not data:
        raise UnreadablePhotoError("The file is empty: please take or choose the photo again.")
    name = photo_format(data)
    if name is None:
        raise UnreadablePhotoError("The file is not a photo that we can read: please send a JPEG, PNG, WebP or HEIC.")
    if name == "PNG" and len(data) >= 24:
        _check_size(struct.unpack_from(">II", data, 16), name)
    return name


def _bounded(data: bytes, name: str, notes: list[str]) -> tuple[bytes, int]:
    """Return the bytes that a decoder is given, which it decodes in bounded time, and the orientation (1 = upright).

    Raises :class:`CostlyPhotoError`.
    """
    if name == "JPEG":
        return _checked_jpeg(jpeg_to_decode(data)), orientation_of(jpeg_exif(data))
    if name == "PNG":
        needed, is_animation = png_to_decode(data)
        if is_animation:
            notes.append(_ANIMATION)
        return needed, orientation_of(png_exif(data))
    if name == "WEBP":
        raise_if_webp_costly(data)
        return data, 1
    if name in ("BMP", "TIFF"):  # a thermal camera's own: their headers and MAX_PIXELS bound them
        return data, 1
    return heif_to_decode(data), 1  # libheif applies the rotation itself


def _profile(data: bytes, name: str, image: Image.Image) -> bytes:
    """Return the ICC profile of a photo. That of a JPEG or PNG is not among the bytes that the decoder is given."""
    if name == "JPEG":
        return jpeg_profile(data, _MOST_PROFILE_BYTES)
    if name == "PNG":
        return png_profile(data, _MOST_PROFILE_BYTES)
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else b""


def _checked_jpeg(data: bytes) -> bytes:
    """Check a JPEG's header, and that the picture is not cut off; return the bytes that show it to the decoder.

    Where an end marker follows too soon, the decoder takes it for the end and makes the rest grey, without a word. So
    it gets zeros in place of the marker: at the end of a whole picture it needs no more of them than it reads ahead,
    while the rest of one that is cut off needs more, and then the decoder says so. A picture in several scans has to
    end with its marker; if it was cut off, scans are missing.
    """
    kind, frame, scan, first = 0, b"", b"", len(data)
    for marker, begin, end in _segments(data):
        payload = data[begin:end]
        if marker in _SOF_MARKERS and len(payload) >= 6:
            kind, frame = marker, payload
            height, width = struct.unpack_from(">HH", frame, 1)
            _check_size((width, height), "JPEG")
        elif marker == _SCAN:
            scan, first = payload, begin - 4
    stop = data.find(_END, first)
    if stop < 0:
        stop = len(data)
    if kind in _BASELINE and scan[:1] == frame[5:6]:  # all channels in one scan
        return data[:stop] + bytes(_READ_AHEAD)
    if frame:
        _check_coefficients(frame)
    if kind in (*_BASELINE, _PROGRESSIVE) and not _has_all_scans(data, first, stop, channel=frame[6:7]):
        raise UnreadablePhotoError(_CUT_OFF)
    return data


def _check_coefficients(frame: bytes) -> None:
    """Refuse a JPEG in several scans, given its frame header, that takes too much memory to decode."""
    height, width = struct.unpack_from(">HH", frame, 1)
    factors = [(both >> 4, both & 0x0F) for both in frame[7::3]]  # of each channel, across and down
    finest = max((across for across, _ in factors), default=0) * max((down for _, down in factors), default=0)
    coefficients = width * height * sum(across * down for across, down in factors) / max(finest, 1)
    if coefficients > MAX_COEFFICIENTS:
        raise UnreadablePhotoError(
            f"The photo is too large for a progressive JPEG ({width} × {height} pixels): please send a smaller one or "
            "save it as an ordinary (baseline) JPEG."
        )


def _has_all_scans(data: bytes, first: int, stop: int, channel: bytes) -> bool:
    """Whether the scans of a JPEG, from the first to the end, bring all 64 coefficients of a channel to the last bit.

    Asked of the first channel, the brightness: it is what encoders refine last.
    """
    missing = set(range(64))
    for head in _SCAN_HEAD.finditer(data, first, stop):
        count = head[1][0]
        channels, rest = data[head.end() : head.end() + 2 * count : 2], data[head.end() + 2 * count :][:3]
        if channel in channels and len(rest) == 3 and rest[2] & 0x0F == 0:
            missing -= set(range(rest[0], rest[1] + 1))
    return not missing


def _open(data: bytes, name: str) -> Image.Image:
    """Open without decoding the pixels."""
    if name == "HEIF":
        heif = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        _check_size(heif.size, name)
        return heif.to_pillow()
    return Image.open(io.BytesIO(data), formats=[name, "MPO"] if name == "JPEG" else [name])


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if min(width, height) < MIN_SIDE_PX:
        raise UnreadablePhotoError(f"The photo is too small ({width} × {height} pixels) to show anything.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnreadablePhotoError(
            f"The photo is but a strip ({width} × {height} pixels), too narrow to show anything: please send all of it."
        )
    if width * height > MAX_PIXELS[name]:
        limit = MAX_PIXELS[name] // 1_000_000
        raise UnreadablePhotoError(
            f"The photo is too large ({width} × {height} pixels; we read {limit} megapixels): please send a smaller."
        )


def fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Scale a size (w, h) down to a longer side of at most ``longest`` pixels."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _as_rgb(image: Image.Image, enough: int) -> NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        factor = max(1, max(image.size) // enough)
        image = Image.fromarray(_stretched(np.asarray(image)[::factor, ::factor]))
    if image.mode in ("1", "P"):
        image = image.convert("RGB")
    factor = max(image.size) // enough
    if factor > 1:
        if image.mode in ("RGBA", "LA"):  # transparency is dropped: weighing by it would take twice the memory
            channels = image.getbands()[:-1]
            image = Image.merge(
                "RGB" if len(channels) == 3 else "L", [image.getchannel(c).reduce(factor) for c in channels]
            )
        else:
            image = image.reduce(factor)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _in_srgb(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Convert a picture (h, w, 3) from the colour space of its ICC profile to sRGB, in which palettes are known.

    A profile that is damaged, is none for RGB, or has tables in place of a matrix costs the conversion, not the photo:
    tables can be made to name one element a thousand times, and phones and cameras write matrices.
    """
    if len(profile) > _MOST_PROFILE_BYTES or not is_matrix_profile(profile):
        return rgb
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own.profile.xcolor_space.strip() != "RGB" or "sRGB" in (own.profile.profile_description or ""):
            return rgb
        converted = ImageCms.profileToProfile(
            Image.fromarray(rgb), own, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return rgb
    return rgb if converted is None else np.asarray(converted)


def _stretched(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    values = grey.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return ((values - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)


def _turned(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (1..8): mirror first, then rotate."""
    if orientation in (2, 4, 5, 7):
        rgb = rgb[:, ::-1]
    quarter_turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
    return np.rot90(rgb, quarter_turns)


def _damage(error: Exception) -> str:
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return _CUT_OFF
    return "The photo is damaged and cannot be opened: please take or export it again."
