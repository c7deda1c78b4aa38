"""One scene through the whole analysis, compared with its truth."""

import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import Household, PhotoKind, TaskType
from contracts.reports import DefectKind, Finding, Report, Severity
from services.analysis.analyser import Analysis, AnalysisRequest, PhotoFile
from services.analysis.thermography.reading.thermogram import Photograph, ScaleSource, Thermogram, read_thermogram
from services.analysis.thermography.submission import analyse_submission
from tests.synthetic import Condition, Scene, make_scene
from tests.synthetic.scenes import Source

Mask = NDArray[np.bool_]
FOUND_IOU = 0.3
_NO_REPORT = Report(
    taskID="evaluation",
    leakSeverity=Severity.UNKNOWN,
    energyLossValue=None,
    energyLossCost=None,
    savingsPercent=None,
    savingsCost=None,
    imagePath=None,
    thumbPath=None,
    suggestions=(),
)


@dataclass(frozen=True, slots=True)
class TrueDefect:
    """A true defect, and what the analysis made of it."""

    kind: DefectKind
    found: bool
    named: DefectKind | None  # kind of the finding that covers it best
    iou: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scene: truth beside result. Energies in kWh per month, errors in °C, times in seconds."""

    seed: int
    condition: Condition
    description: str
    truth: Severity
    said: Severity
    confidence: float
    defects: tuple[TrueDefect, ...]
    findings: tuple[DefectKind, ...]
    iou: float | None  # all findings against all defects; None without defects
    true_kwh: float
    low_kwh: float | None
    high_kwh: float | None
    said_kwh: float | None
    palette: str | None  # None for raw values
    palette_said: str | None
    scale: ScaleSource
    decoding_error: float | None  # mean over the scene, printed range given; None for raw values
    spot_error: float | None
    seconds: float
    digest: str  # of report and report image
    crash: str | None  # what the analysis raised, if it did not end in a report

    @property
    def found(self) -> bool:
        """Whether the gravest defect is found; True for sound scenes."""
        return not self.defects or self.defects[0].found

    @property
    def false_alarm(self) -> bool:
        """A sound scene that is called leaking."""
        return not self.defects and self.said in (Severity.LOW, Severity.MODERATE, Severity.HIGH)

    @property
    def covered(self) -> bool:
        """Whether the stated range holds the truth; no range holds only a truth of nothing."""
        if self.low_kwh is None or self.high_kwh is None:
            return False
        return self.low_kwh - 0.05 <= self.true_kwh <= self.high_kwh + 0.05

    @property
    def width(self) -> float | None:
        """Upper by lower end of the range; None where it starts at nothing."""
        if not self.low_kwh or self.high_kwh is None:
            return None
        return self.high_kwh / self.low_kwh


def analyse_files(
    thermal: bytes,
    colour: bytes | None,
    scratch: Path,
    *,
    task_type: TaskType | None,
    inside_f: float | None,
    outside_f: float | None,
    household: Household | None = None,
) -> Analysis:
    """Submit a pair of photos as the app would."""
    photos = []
    for kind, data in ((PhotoKind.RGB, colour), (PhotoKind.THERMAL, thermal)):
        if data is not None:
            path = scratch / f"obs0_{kind}.jpg"
            path.write_bytes(data)
            photos.append(PhotoFile(path, path.name, kind, 0))
    request = AnalysisRequest(
        job_id="evaluation",
        task_id="evaluation",
        task_type=task_type,
        inside_temp_f=inside_f,
        outside_temp_f=outside_f,
        household=household,
        photos=tuple(photos),
        scratch=scratch,
    )
    return analyse_submission(request)


def finding_mask(finding: Finding, shape: tuple[int, int]) -> Mask:
    """The region that a finding outlines, in pixels of the upright thermal photo (h, w)."""
    mask = np.zeros(shape, np.uint8)
    points = np.array(finding.outline) * (shape[1], shape[0])
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask > 0


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 0.0


@dataclass(frozen=True, slots=True)
class Mistyped:
    """By how much the temperatures that the homeowner types are wrong, °F, on top of what the scene draws for that."""

    inside: float = 0.0
    outside: float = 0.0


_AS_DRAWN = Mistyped()


def evaluate(seed: int, condition: Condition, cells: Path | None, mistyped: Mistyped = _AS_DRAWN) -> Outcome:
    """Analyse the scene of ``seed``; with ``cells`` its picture for the contact sheets is written there."""
    scene = _retyped(make_scene(seed, condition), mistyped)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report, image, crash = _analyse(scene, Path(folder))
        seconds = time.perf_counter() - started
    masks = [finding_mask(finding, scene.thermal_picture.shape[:2]) for finding in report.findings]
    photo = Photograph(scene.thermal)
    thermogram = read_thermogram(photo, inside_c=None, outside_c=None, printed_range=scene.scale)
    decoding, spot = (None, None) if scene.source is Source.RADIOMETRIC else _decoding_errors(scene, thermogram)
    said = read_thermogram(photo, inside_c=scene.inside_c, outside_c=scene.outside_c)
    span = report.ranges.energyLossValue if report.ranges else None
    outcome = Outcome(
        seed=seed,
        condition=condition,
        description=f"{scene.task_type}, {scene.layout}, {', '.join(scene.distractors) or 'nothing else in view'}",
        truth=scene.severity,
        said=report.leakSeverity,
        confidence=report.confidence.score if report.confidence else 0.0,
        defects=_judge(scene, report, masks),
        findings=tuple(finding.kind for finding in report.findings),
        iou=overlap(_union(masks, scene.mask), scene.mask) if scene.defects else None,
        true_kwh=scene.heat_kwh_per_month,
        low_kwh=span.low if span else None,
        high_kwh=span.high if span else None,
        said_kwh=report.energyLossValue,
        palette=None if scene.source is Source.RADIOMETRIC else scene.palette,
        palette_said=thermogram.palette,
        scale=said.scale,
        decoding_error=decoding,
        spot_error=spot,
        seconds=seconds,
        digest=hashlib.sha256(report.model_dump_json().encode() + image).hexdigest(),
        crash=crash,
    )
    if cells is not None:
        draw_cell(scene, outcome, masks, cells)
    return outcome


def _retyped(scene: Scene, by: Mistyped) -> Scene:
    """The scene with other temperatures typed, where any were."""
    inside, outside = scene.typed_inside_f, scene.typed_outside_f
    return replace(
        scene,
        typed_inside_f=None if inside is None else inside + by.inside,
        typed_outside_f=None if outside is None else outside + by.outside,
    )


def _analyse(scene: Scene, scratch: Path) -> tuple[Report, bytes, str | None]:
    """Report, report image and what was raised: a crash is a result that the evaluation must show, not its end."""
    try:
        analysis = analyse_files(
            scene.thermal,
            scene.colour,
            scratch,
            task_type=scene.task_type,
            inside_f=scene.typed_inside_f,
            outside_f=scene.typed_outside_f,
            household=scene.household,
        )
    except Exception as crash:  # noqa: BLE001 - whatever it is, it is counted and named
        return _NO_REPORT, b"", f"{type(crash).__name__}: {crash}"
    return analysis.report, analysis.image.read_bytes() if analysis.image else b"", None


def _union(masks: list[Mask], like: Mask) -> Mask:
    total = np.zeros_like(like)
    for mask in masks:
        total |= mask
    return total


def _judge(scene: Scene, report: Report, masks: list[Mask]) -> tuple[TrueDefect, ...]:
    """Each defect, the gravest first. Found: the findings that touch it cover it, or all defects, with IoU >= 0.3."""
    judged = []
    for defect in sorted(scene.defects, key=lambda defect: -defect.excess_ua):
        touching = [number for number, mask in enumerate(masks) if (mask & defect.mask).any()]
        union = _union([masks[number] for number in touching], scene.mask)
        iou = max(
            [overlap(union, defect.mask), overlap(union, scene.mask)]
            + [overlap(masks[number], defect.mask) for number in touching]
        )
        best = max(touching, key=lambda number: int((masks[number] & defect.mask).sum()), default=None)
        named = report.findings[best].kind if best is not None else None
        judged.append(TrueDefect(defect.kind, iou >= FOUND_IOU, named, iou))
    return tuple(judged)


def _decoding_errors(scene: Scene, thermogram: Thermogram) -> tuple[float, float | None]:
    """Mean error over what is visible and within the scale, and at the printed spot, in °C."""
    height, width = scene.thermal_picture.shape[:2]
    x0, y0, x1, y1 = scene.window
    whole = np.full((height, width), np.nan, np.float32)
    whole[y0:y1, x0:x1] = cv2.resize(scene.temperature, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    whole[scene.sensor_covered] = np.nan
    wx0, wy0, wx1, wy1 = thermogram.window
    size = thermogram.temperature.shape[::-1]
    truth = cv2.resize(whole[wy0:wy1, wx0:wx1], size, interpolation=cv2.INTER_NEAREST)
    usable = np.isfinite(truth) & thermogram.valid & (truth > scene.scale[0]) & (truth < scene.scale[1])
    errors = np.abs(np.where(usable, thermogram.temperature - truth, 0))
    mean = float(errors[usable].mean()) if usable.any() else float("nan")
    if scene.spot is None:
        return mean, None
    (x, y), printed = scene.spot
    if not scene.scale[0] < printed < scene.scale[1]:
        return mean, None
    column = (x - wx0) * size[0] / max(wx1 - wx0, 1)
    row = (y - wy0) * size[1] / max(wy1 - wy0, 1)
    reading = spot_reading(thermogram, column, row)
    return mean, None if reading is None else abs(reading - printed)


def spot_reading(thermogram: Thermogram, column: float, row: float) -> float | None:
    """Median of the valid temperatures around a place, from the smallest neighbourhood that holds five of them."""
    rows, columns = thermogram.temperature.shape
    y, x = np.mgrid[0:rows, 0:columns]
    far = np.hypot(x - column, y - row)
    for radius in (1.5, 3, 5, 8, 12):
        near = (far <= radius) & thermogram.valid
        if near.sum() >= 5:
            return float(np.median(thermogram.temperature[near]))
    return None


def draw_cell(scene: Scene, outcome: Outcome, masks: list[Mask], folder: Path) -> None:
    """Colour, thermal, truth (green) and result (white on black) side by side, as one small JPEG."""
    thermal = scene.thermal_picture
    line = max(1, thermal.shape[0] // 160)
    true, found = thermal.copy(), thermal.copy()
    for mask in (defect.mask for defect in scene.defects):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(true, outlines, -1, (0, 255, 0), line)
    for mask in masks:
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(found, outlines, -1, (0, 0, 0), 3 * line)
        cv2.drawContours(found, outlines, -1, (255, 255, 255), line)
    views = []
    for view in (scene.colour_picture, thermal, true, found):
        factor = min(236 / view.shape[1], 200 / view.shape[0])
        small = cv2.resize(view, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        frame = np.full((244, 240, 3), 24, np.uint8)
        frame[2 : 2 + small.shape[0], 2 : 2 + small.shape[1]] = small
        views.append(frame)
    cell = np.hstack(views)
    truth = ", ".join(f"{defect.kind} {defect.excess_ua:.2f} W/K" for defect in scene.defects) or "sound"
    said = ", ".join(outcome.findings) or "nothing"
    kwh = f"{outcome.true_kwh:.1f} kWh in {outcome.low_kwh}..{outcome.high_kwh}"
    things = outcome.description.split(", ", 1)[1]
    iou = "-" if outcome.iou is None else f"{outcome.iou:.2f}"
    first = f"{outcome.seed} {scene.task_type} | truth {outcome.truth}: {truth} | {things}"
    second = f"said {outcome.said}: {said} | {kwh} | IoU {iou}"
    for text, y in ((f"{first} | {scene.palette}, {scene.source}", 222), (f"{second} | {outcome.scale}", 238)):
        cv2.putText(cell, text[:150], (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    _, data = cv2.imencode(".jpg", cell[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    (folder / f"{outcome.condition.name.lower()}-{outcome.seed}.jpg").write_bytes(data.tobytes())
