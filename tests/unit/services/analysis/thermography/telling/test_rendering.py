import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from contracts.reports import Severity
from services.analysis.thermography.telling.rendering import (
    MOST_BYTES,
    WIDTH_PX,
    Mark,
    Panel,
    Rgb,
    Sheet,
    draw_sheet,
    draw_thumbnail,
    encode_jpeg,
)

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))


def photo(height: int, width: int, *, noisy: bool = False) -> Rgb:
    if noisy:
        return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return np.full((height, width, 3), 90, np.uint8)


def sheet(*panels: Panel, severity: Severity = Severity.LOW) -> Sheet:
    return Sheet(severity, "Small heat leak", "Window: about 3 kWh a month.", panels, ("Confidence: high.",))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("severity", Severity)
def test_every_severity_has_its_band(severity: Severity) -> None:
    image = opened(draw_sheet(sheet(Panel(photo(60, 80), None, (), ""), severity=severity)))
    assert image.size[0] == WIDTH_PX
    assert sum(image.getpixel((WIDTH_PX - 5, 5))) < 500  # a colour, not paper


def test_a_pair_stands_side_by_side_at_one_height() -> None:
    alone = opened(draw_sheet(sheet(Panel(photo(300, 400), None, (), ""))))
    pair = opened(draw_sheet(sheet(Panel(photo(300, 400), photo(900, 1200), (), ""))))
    assert pair.height < alone.height


def test_each_mark_adds_its_line_to_the_legend() -> None:
    marks = tuple(Mark(n, SQUARE, "Probably cold air coming in", "coldest 41 °F") for n in (1, 2))
    with_two = opened(draw_sheet(sheet(Panel(photo(300, 400), None, marks, ""))))
    without = opened(draw_sheet(sheet(Panel(photo(300, 400), None, (), ""))))
    assert with_two.height > without.height


def test_an_outline_is_drawn_in_white_at_its_place() -> None:
    marks = (Mark(1, SQUARE, "", ""),)
    plain = np.asarray(opened(draw_thumbnail(Panel(photo(300, 300), None, (), ""))), int)
    drawn = np.asarray(opened(draw_thumbnail(Panel(photo(300, 300), None, marks, ""))), int)
    assert (drawn - plain)[150, 236:244].max() > 120
    assert np.abs(drawn - plain)[150, 100:200].max() < 30


@pytest.mark.parametrize("shape", [(300, 400), (611, 817), (1056, 792), (2001, 1501)])
def test_a_thumbnail_keeps_what_is_where_and_how_bright(shape: tuple[int, int]) -> None:
    fine = np.indices(shape).sum(0) % 2 * 40  # dots that a pixel which is skipped would show
    scene = np.repeat((100 + fine)[..., None], 3, 2).astype(np.uint8)
    scene[: shape[0] // 2, : shape[1] // 2] = 220
    image = opened(draw_thumbnail(Panel(scene, None, (), "")))
    assert max(image.size) == 360
    small = np.asarray(image, int)
    height, width = small.shape[:2]
    assert np.abs(small[: height // 2 - 8, : width // 2 - 8] - 220).max() < 12
    assert np.abs(small[height // 2 + 8 :, width // 2 + 8 :].mean() - 120) < 6


def test_the_largest_sheet_stays_below_the_limit() -> None:
    panels = [
        Panel(photo(1056, 792, noisy=True), photo(1056, 792, noisy=True), (), f"Observation {n}") for n in range(4)
    ]
    assert len(draw_sheet(sheet(*panels))) <= MOST_BYTES


def test_an_extremely_wide_photo_is_drawn() -> None:
    assert opened(draw_sheet(sheet(Panel(photo(2, 1000), None, (), "")))).width == WIDTH_PX


def test_what_no_quality_can_shrink_becomes_smaller() -> None:
    data = encode_jpeg(Image.fromarray(photo(400, 400, noisy=True)), 8_000)
    assert len(data) <= 8_000
    assert opened(data).width < 400


def test_report_pictures_hold_nothing_but_their_pixels() -> None:
    panel = Panel(photo(60, 80), None, (), "")
    for data in (draw_sheet(sheet(panel)), draw_thumbnail(panel)):
        image = opened(data)
        assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not image.getexif()
        assert data.endswith(b"\xff\xd9")


def test_a_word_longer_than_a_line_is_broken_within_the_margins() -> None:
    plain = sheet(Panel(photo(60, 80), None, (), ""))
    image = opened(draw_sheet(replace(plain, notes=("obs1_" + "x" * 300 + ".jpg",))))
    paper = np.asarray(image, int)[-100:]
    assert np.abs(paper[:, -20:] - paper[0, -1]).max() < 20
    assert image.height > opened(draw_sheet(plain)).height + 60
