"""What tasks accepts as a photo is what analysis reads: a submission of anything else would be a job that fails."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.analysis.thermography.reading.pictures import photo_format
from services.tasks.pictures import ANALYSED, ANALYSED_IF_THERMAL, HEAD_BYTES, ThermalProbe, media_type
from tests.unit.services.analysis.thermography.sensors import big_endian_tiff, kelvin_picture, uni_t_bmp


def saved(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, form)
    return file.getvalue()


def boxed(brand: str) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand.encode() + bytes(64)


WALL = np.linspace(5, 25, 40 * 60).reshape(40, 60)
THERMAL = {
    "UNI-T": uni_t_bmp(np.arange(40 * 60, dtype=np.uint8).reshape(40, 60), 5, 12, 25),
    "TIFF of kelvins": kelvin_picture(WALL, "TIFF", 100),
    "TIFF of kelvins, big-endian": big_endian_tiff(WALL, 100),
    "TIFF of kelvins, packed": kelvin_picture(WALL, "TIFF", 10, compression="tiff_lzw"),
}
HEIF_BRANDS = ("heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1")
FILES = {
    **{form: saved(form) for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "PPM", "ICO", "JPEG2000")},
    **{brand: boxed(brand) for brand in (*HEIF_BRANDS, "avif", "avis", "isom", "mp42", "crx ")},
    **THERMAL,
    "TIFF, cut off": kelvin_picture(WALL, "TIFF", 100)[:40],
    "large TIFF": kelvin_picture(np.full((2100, 2100), 20.0), "TIFF", 100),
    "TIFF of huge tiles": big_endian_tiff(WALL, 100, (0x142, 60_000), (0x143, 60_000)),
    "UNI-T, cut off": THERMAL["UNI-T"][:-1],
}


def is_taken(file: bytes, piece: int = 1 << 20) -> bool:
    """What tasks decides of a file that comes in pieces."""
    probe = ThermalProbe()
    for at in range(0, len(file), piece):
        probe.feed(file[at : at + piece])
    found = media_type(file[:HEAD_BYTES])
    return found in ANALYSED or (found in ANALYSED_IF_THERMAL and probe.is_thermal())


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_tasks_takes_what_analysis_reads_and_nothing_else(file: bytes) -> None:
    assert is_taken(file) == (photo_format(file) is not None)


@pytest.mark.parametrize("file", THERMAL.values(), ids=THERMAL)
@pytest.mark.parametrize("piece", [1, 53, 54, 700, 5_000])
def test_a_thermal_bmp_or_tiff_is_taken_in_pieces_of_any_size(file: bytes, piece: int) -> None:
    assert is_taken(file, piece)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), file=st.sampled_from(list(THERMAL.values())))
def test_both_decide_alike_on_damaged_thermal_files(data: st.DataObject, file: bytes) -> None:
    broken = bytearray(file)
    for _ in range(data.draw(st.integers(1, 4))):
        telling = st.one_of(st.integers(0, 200), st.integers(len(file) - 200, len(file) - 1))
        broken[data.draw(telling)] = data.draw(st.integers(0, 255))
    whole = bytes(broken[: len(broken) - data.draw(st.sampled_from([0, 0, 1, 40]))])
    assert is_taken(whole, data.draw(st.sampled_from([7, 100, 10_000]))) == (photo_format(whole) is not None)


def test_the_photos_of_phones_are_among_them() -> None:
    taken = {name for name, file in FILES.items() if photo_format(file) is not None}
    assert taken == {"JPEG", "PNG", "WEBP", *HEIF_BRANDS, *THERMAL}
