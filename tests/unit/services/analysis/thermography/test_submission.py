import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from contracts.events import Household, PhotoKind, TaskType
from contracts.reports import ConfidenceLevel, Report, Severity
from services.analysis.analyser import AnalysisRequest, UnusablePhotosError
from services.analysis.thermography import submission
from services.analysis.thermography.reading import thermogram
from services.analysis.thermography.reading.likeness import looks_thermal
from services.analysis.thermography.reading.pictures import Picture, open_picture
from services.analysis.thermography.submission import analyse_submission
from services.analysis.thermography.telling.rendering import Panel, Sheet
from services.analysis.thermography.telling.report import round_for_person, round_percent
from tests.synthetic import Scene, make_scene

RequestFor = Callable[..., AnalysisRequest]
LEAKY, LEAKY_TOO, SOUND = 7, 15, 10  # seeds of synthetic scenes: two leaks of at least Moderate, and a sound wall


@cache
def scene(seed: int) -> Scene:
    return make_scene(seed, colour_size=(320, 240))


@pytest.fixture
def leaky() -> dict[str, bytes]:
    return {"obs0_rgb.jpg": scene(LEAKY).colour, "obs0_thermal.jpg": scene(LEAKY).thermal}


@pytest.fixture
def leaky_too() -> dict[str, bytes]:
    return {"obs1_rgb.jpg": scene(LEAKY_TOO).colour, "obs1_thermal.jpg": scene(LEAKY_TOO).thermal}


def typed(seed: int) -> dict[str, object]:
    return {
        "inside_temp_f": scene(seed).typed_inside_f,
        "outside_temp_f": scene(seed).typed_outside_f,
        "task_type": scene(seed).task_type,
    }


def test_a_leaky_scene_gets_figures_findings_and_a_picture(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    analysis = analyse_submission(request_for(leaky, **typed(LEAKY)))
    report = analysis.report
    assert report.leakSeverity in (Severity.MODERATE, Severity.HIGH)
    assert report.energyLossValue is not None
    assert report.energyLossCost is not None
    assert report.savingsCost is not None
    assert 0 < report.savingsCost <= report.energyLossCost
    assert report.findings[0].number == 1
    assert report.ranges is not None
    assert report.ranges.energyLossValue is not None
    assert report.ranges.energyLossValue.low <= report.energyLossValue <= report.ranges.energyLossValue.high
    assert report.imagePath == report.thumbPath == "task-1_analysis_image.jpg"
    assert report.method is not None
    assert report.method.name == "thermography"
    assert report.assumptions
    assert analysis.image is not None


def test_a_range_is_no_wider_than_a_factor_of_six(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    ranges = analyse_submission(request_for(leaky, **typed(LEAKY))).report.ranges
    assert ranges is not None
    assert ranges.energyLossValue is not None
    assert ranges.energyLossValue.high <= 6 * ranges.energyLossValue.low


def test_the_report_image_is_a_small_jpeg_without_metadata(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    analysis = analyse_submission(request_for(leaky, **typed(LEAKY)))
    assert analysis.image is not None
    assert analysis.thumbnail is not None
    with Image.open(analysis.image) as image, Image.open(analysis.thumbnail) as thumbnail:
        assert image.format == thumbnail.format == "JPEG"
        assert image.width == 1080
        assert not image.getexif()
        assert not thumbnail.getexif()
        assert max(thumbnail.size) <= 360
    assert analysis.image.stat().st_size <= 400_000


def test_each_photo_is_decoded_once(
    request_for: RequestFor, leaky: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []

    def noting(data: bytes, *, enough: int) -> Picture:
        decoded.append(data)
        return open_picture(data, enough=enough)

    monkeypatch.setattr(thermogram, "open_picture", noting)
    analyse_submission(request_for(leaky, **typed(LEAKY)))
    assert sorted(decoded) == sorted(leaky.values())


def test_a_sound_scene_has_no_leak(request_for: RequestFor) -> None:
    report = analyse_submission(request_for({"obs0_thermal.jpg": scene(SOUND).thermal}, **typed(SOUND))).report
    assert report.leakSeverity is Severity.NONE
    assert report.energyLossValue == 0.0
    assert report.suggestions


def test_losses_of_observations_add_up_and_the_worst_decides(
    request_for: RequestFor, leaky: dict[str, bytes], leaky_too: dict[str, bytes]
) -> None:
    conditions = typed(LEAKY)
    both = analyse_submission(request_for(leaky | leaky_too, **conditions)).report
    single = [analyse_submission(request_for(files, **conditions)).report for files in (leaky, leaky_too)]
    assert {finding.observation for finding in both.findings} == {0, 1}
    assert [finding.number for finding in both.findings] == list(range(1, len(both.findings) + 1))
    total = sum(report.energyLossValue or 0.0 for report in single)
    assert both.energyLossValue == pytest.approx(total, rel=0.1)
    order = list(Severity)
    assert order.index(both.leakSeverity) == max(order.index(report.leakSeverity) for report in single)


def test_the_same_photo_in_two_observations_counts_once(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    twice = leaky | {"obs1_thermal.jpg": leaky["obs0_thermal.jpg"]}
    once = analyse_submission(request_for(leaky, **typed(LEAKY))).report
    report = analyse_submission(request_for(twice, **typed(LEAKY))).report
    assert report.energyLossValue == once.energyLossValue
    assert report.confidence is not None
    assert any("counted once" in reason for reason in report.confidence.reasons)


def test_photos_with_swapped_names_are_told_apart_by_content(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    swapped = {"obs0_rgb.jpg": leaky["obs0_thermal.jpg"], "obs0_thermal.jpg": leaky["obs0_rgb.jpg"]}
    right = analyse_submission(request_for(leaky, **typed(LEAKY))).report
    report = analyse_submission(request_for(swapped, **typed(LEAKY))).report
    assert report.energyLossValue == right.energyLossValue


def test_without_a_thermal_photo_nothing_is_invented(request_for: RequestFor, colour_jpeg: bytes) -> None:
    analysis = analyse_submission(request_for({"obs0_rgb.jpg": colour_jpeg}))
    report = analysis.report
    assert report.leakSeverity is Severity.UNKNOWN
    figures = (report.energyLossValue, report.energyLossCost, report.savingsPercent, report.savingsCost)
    assert figures == (None, None, None, None)
    assert report.reason is not None
    assert "thermal photo" in report.reason
    assert report.suggestions
    assert analysis.image is not None
    with Image.open(analysis.image) as image:
        assert not image.getexif()  # the photo had a place


def test_without_any_photo_the_reason_says_so(request_for: RequestFor) -> None:
    analysis = analyse_submission(request_for({}))
    assert analysis.report.leakSeverity is Severity.UNKNOWN
    assert analysis.report.imagePath is None
    assert analysis.image is None


def test_nothing_but_unreadable_photos_is_an_error_that_names_each(request_for: RequestFor) -> None:
    with pytest.raises(UnusablePhotosError) as caught:
        analyse_submission(request_for({"obs0_rgb.jpg": b"", "obs0_thermal.jpg": b"\xff\xd8\xff\xe0 cut"}))
    assert "obs0_rgb.jpg" in str(caught.value)
    assert "obs0_thermal.jpg" in str(caught.value)


def test_a_thermal_photo_that_cannot_be_read_is_the_reason_and_none_is_asked_for(
    request_for: RequestFor, leaky: dict[str, bytes], colour_jpeg: bytes
) -> None:
    files = {"obs0_thermal.jpg": leaky["obs0_thermal.jpg"][:3000], "obs0_rgb.jpg": colour_jpeg}
    report = analyse_submission(request_for(files)).report
    assert report.reason is not None
    assert report.reason.startswith("obs0_thermal.jpg: ")
    assert "add one" not in report.reason
    assert report.confidence is not None
    assert report.confidence.reasons == (report.reason,)


def test_an_observation_without_a_thermal_photo_is_named_and_lowers_the_confidence(
    request_for: RequestFor, leaky: dict[str, bytes], colour_jpeg: bytes
) -> None:
    alone = analyse_submission(request_for(leaky, **typed(LEAKY))).report.confidence
    beside = analyse_submission(request_for(leaky | {"obs1_rgb.jpg": colour_jpeg}, **typed(LEAKY))).report.confidence
    assert alone is not None
    assert beside is not None
    assert beside.score == pytest.approx(alone.score / 2, abs=0.01)
    assert "Observation 2 has no thermal photo to judge it by." in beside.reasons


def test_findings_that_have_no_place_on_the_image_are_named_at_its_foot(
    request_for: RequestFor, leaky: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[Sheet] = []

    def noting(sheet: Sheet) -> bytes:
        sheets.append(sheet)
        return b""

    monkeypatch.setattr(submission, "draw_sheet", noting)
    monkeypatch.setattr(submission, "_MOST_PANELS", 1)
    files = leaky | {"obs1_thermal.jpg": scene(LEAKY_TOO).thermal, "obs2_thermal.jpg": scene(SOUND).thermal}
    report = analyse_submission(request_for(files, **typed(LEAKY))).report
    shown = report.findings[0].observation
    missing = [str(finding.number) for finding in report.findings if finding.observation != shown]
    others = " and ".join(str(n + 1) for n in range(3) if n != shown)
    assert missing
    assert sheets[0].notes[0].startswith(f"Not shown here: observations {others}, with finding")
    assert sheets[0].notes[0].endswith(f" {missing[-1]}.")


def test_a_thermal_picture_in_a_screenshot_is_cut_out_of_it_for_the_image_and_its_outlines_with_it(
    request_for: RequestFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[Sheet] = []

    def noting(sheet: Sheet) -> bytes:
        sheets.append(sheet)
        return b""

    picture = Image.fromarray(scene(LEAKY_TOO).thermal_picture).resize((540, 405))
    screenshot = Image.new("RGB", (540, 1170), (250, 250, 250))
    screenshot.paste(picture, (0, 300))
    data = io.BytesIO()
    screenshot.save(data, "PNG")
    monkeypatch.setattr(submission, "draw_sheet", noting)
    report = analyse_submission(request_for({"obs0_thermal.png": data.getvalue()}, **typed(LEAKY_TOO))).report
    (panel,) = sheets[0].panels
    assert panel.thermal is not None
    height, width = panel.thermal.shape[:2]
    assert 500 <= width <= 540
    assert 380 <= height <= 460
    (whole, shown) = (np.array(report.findings[0].outline), np.array(panel.marks[0].outline))
    assert np.ptp(shown, 0) * (width, height) == pytest.approx(np.ptp(whole, 0) * (540, 1170), abs=1)
    assert 0 <= shown.min() <= shown.max() <= 1


def test_one_unreadable_photo_costs_confidence_and_not_the_report(
    request_for: RequestFor, leaky: dict[str, bytes]
) -> None:
    report = analyse_submission(request_for(leaky | {"obs1_thermal.jpg": b"broken"}, **typed(LEAKY))).report
    assert report.energyLossValue is not None
    assert report.confidence is not None
    assert any("obs1_thermal.jpg" in reason for reason in report.confidence.reasons)


@pytest.mark.parametrize(
    ("inside", "outside"), [(None, None), (68.0, 68.0), (500.0, 30.0), (30.0, 70.0), (70.0, 90.0), (70.0, 62.0)]
)
def test_odd_temperatures_lower_the_confidence_and_never_fail(
    request_for: RequestFor, leaky: dict[str, bytes], inside: float | None, outside: float | None
) -> None:
    report = analyse_submission(request_for(leaky, inside_temp_f=inside, outside_temp_f=outside)).report
    assert report.confidence is not None
    assert report.confidence.reasons
    if inside == outside and inside is not None:
        assert report.leakSeverity is Severity.UNKNOWN
        assert report.confidence.level is ConfidenceLevel.NONE


def test_the_same_input_gives_the_same_bytes(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    request = request_for(leaky, **typed(LEAKY))
    first = analyse_submission(request)
    assert first.image is not None
    image = first.image.read_bytes()
    again = analyse_submission(request)
    assert again.image is not None
    assert again.image.read_bytes() == image
    assert again.report.model_dump_json() == first.report.model_dump_json()


def test_a_zip_code_changes_the_bill_and_not_the_severity(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    cold, warm = (
        analyse_submission(request_for(leaky, **typed(LEAKY), household=Household(zip_code=code))).report
        for code in ("55401", "33101")
    )
    assert cold.leakSeverity is warm.leakSeverity
    assert (cold.energyLossCost or 0) > (warm.energyLossCost or 0)


def test_outlines_lie_within_the_photo(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    for finding in analyse_submission(request_for(leaky, **typed(LEAKY))).report.findings:
        outline = np.array(finding.outline)
        assert len(outline) >= 3
        assert outline.min() >= 0
        assert outline.max() <= 1


def test_a_huge_submission_is_analysed_in_part_and_says_so(request_for: RequestFor, colour_jpeg: bytes) -> None:
    request = request_for({"obs0_rgb.jpg": colour_jpeg})
    photo = request.photos[0]
    many = tuple(replace(photo, observation=n, kind=PhotoKind.RGB) for n in range(30))
    report = analyse_submission(replace(request, photos=many)).report
    assert report.confidence is not None
    assert any("first 12 of 30" in reason for reason in report.confidence.reasons)


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """What is drawn."""
    drawn: list[Panel] = []
    draw = submission.draw_sheet

    def noting(sheet: Sheet) -> bytes:
        drawn.extend(sheet.panels)
        return draw(sheet)

    monkeypatch.setattr(submission, "draw_sheet", noting)
    return drawn


def reasons_of(report: Report) -> str:
    assert report.confidence is not None
    return " ".join(report.confidence.reasons)


def test_of_two_thermal_photos_one_is_analysed_and_the_other_is_said_to_be_left_out(
    request_for: RequestFor, leaky: dict[str, bytes], panels: list[Panel]
) -> None:
    once = analyse_submission(request_for(leaky, **typed(LEAKY))).report
    panels.clear()
    files = leaky | {"obs0_thermal_2.jpg": scene(LEAKY_TOO).thermal}
    report = analyse_submission(request_for(files, **typed(LEAKY))).report
    assert report.energyLossValue == once.energyLossValue
    assert "obs0_thermal_2.jpg is another thermal photo" in reasons_of(report)
    (panel,) = panels
    assert panel.colour is not None
    assert (panel.colour == open_picture(leaky["obs0_rgb.jpg"], enough=320).rgb).all()


@pytest.mark.parametrize("name", ["obs0_thermal_2.jpg", "obs0_rgb.jpg"])
def test_another_thermal_photo_is_never_shown_as_the_colour_photo(
    request_for: RequestFor, leaky: dict[str, bytes], panels: list[Panel], name: str
) -> None:
    files = {"obs0_thermal.jpg": leaky["obs0_thermal.jpg"], name: scene(LEAKY_TOO).thermal}
    report = analyse_submission(request_for(files, **typed(LEAKY))).report
    assert "another thermal photo" in reasons_of(report)
    assert panels[0].colour is None


def test_a_dull_colour_photo_is_shown_beside_the_thermal_photo(
    request_for: RequestFor, leaky: dict[str, bytes], panels: list[Panel]
) -> None:
    dull = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(60, 90, 320).astype(np.uint8), (240, 1))).save(dull, "JPEG")
    assert looks_thermal(thermogram.Photograph(dull.getvalue())) > 0.5  # grey and smooth
    report = analyse_submission(request_for(leaky | {"obs0_rgb.jpg": dull.getvalue()}, **typed(LEAKY))).report
    assert "thermal photo" not in reasons_of(report)
    assert panels[0].colour is not None


def test_of_many_photos_of_one_observation_four_are_looked_at_and_the_rest_is_said(
    request_for: RequestFor, colour_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bytes] = []

    def noting(data: bytes, *, enough: int) -> Picture:
        opened.append(data)
        return open_picture(data, enough=enough)

    monkeypatch.setattr(thermogram, "open_picture", noting)
    files = {f"obs0_rgb{n}.jpg": colour_jpeg for n in range(10)}
    report = analyse_submission(request_for(files)).report
    assert len(opened) == 4
    assert "and 6 more were not used" in reasons_of(report)  # one of the ten is shown, three are named


def test_photos_that_are_too_large_together_are_looked_at_in_part_and_the_rest_is_said(
    request_for: RequestFor, leaky: dict[str, bytes], leaky_too: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_MOST_MEGAPIXELS", 0.1)
    report = analyse_submission(request_for(leaky | leaky_too, **typed(LEAKY))).report
    assert {finding.observation for finding in report.findings} == {0}
    assert "obs1_thermal.jpg" in reasons_of(report)
    assert "together are very large" in reasons_of(report)


def test_damaged_temperatures_are_parsed_once(
    request_for: RequestFor, leaky: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def damaged(data: bytes) -> None:
        parsed.append(data)
        raise thermogram.DamagedCalibrationError("The temperatures stored in the photo are damaged.")

    monkeypatch.setattr(thermogram, "read_radiometric", damaged)
    analyse_submission(request_for({"obs0_thermal.jpg": leaky["obs0_thermal.jpg"]}, **typed(LEAKY)))
    assert len(parsed) == 1


def test_a_photo_alone_is_shown_alone(request_for: RequestFor, leaky: dict[str, bytes]) -> None:
    files = {"obs0_thermal.jpg": leaky["obs0_thermal.jpg"]}
    analysis = analyse_submission(request_for(files, task_type=TaskType.DOOR))
    assert analysis.image is not None
    with Image.open(io.BytesIO(analysis.image.read_bytes())) as image:
        assert image.width == 1080


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.0, 0.0), (0.34, 0.3), (9.96, 10.0), (12.36, 12.0), (148.0, 150.0), (1234.0, 1200.0)]
)
def test_figures_are_rounded_for_a_person(value: float, rounded: float) -> None:
    assert round_for_person(value) == pytest.approx(rounded)


def test_percents_come_in_steps_of_five() -> None:
    assert round_percent(33.4) == 35.0
