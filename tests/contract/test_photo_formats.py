"""What tasks accepts as a photo is what analysis reads: a submission of anything else would be a job that fails."""

import io

import pytest
from PIL import Image

from services.analysis.thermography.reading.pictures import photo_format
from services.tasks.pictures import ANALYSED, HEAD_BYTES, media_type


def saved(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, form)
    return file.getvalue()


def boxed(brand: str) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand.encode() + bytes(64)


HEIF_BRANDS = ("heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1")
FILES = {
    **{form: saved(form) for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "PPM", "ICO", "JPEG2000")},
    **{brand: boxed(brand) for brand in (*HEIF_BRANDS, "avif", "avis", "isom", "mp42", "crx ")},
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_tasks_takes_what_analysis_reads_and_nothing_else(file: bytes) -> None:
    assert (media_type(file[:HEAD_BYTES]) in ANALYSED) == (photo_format(file) is not None)


def test_the_photos_of_phones_are_among_them() -> None:
    taken = {name for name, file in FILES.items() if photo_format(file) is not None}
    assert taken == {"JPEG", "PNG", "WEBP", *HEIF_BRANDS}
