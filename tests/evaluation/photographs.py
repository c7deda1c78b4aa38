"""Real pictures, one row each: what is known of them beside what the analysis says.

The folder holds ``labels.json``: per picture the conditions, the printed range and spot, whether and where its author
points out a defect. Picture ``x-thermal.jpg`` may have a colour photo ``x-rgb.jpg``.
"""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import flyr
import numpy as np

from contracts.events import TaskType
from contracts.reports import DefectKind, Severity
from services.analysis.thermography.reading.thermogram import Photograph, ScaleSource, read_thermogram
from tests.evaluation.outcome import analyse_files, finding_mask, spot_reading

_NEAR = 0.04  # of the longer side: a region that close to the author's spot counts


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One real picture; temperatures in °C."""

    name: str
    defect: bool | None
    severity: Severity
    findings: tuple[DefectKind, ...]
    at_spot: bool | None  # None where no place is known
    palette: str | None
    explained: float
    blended: bool
    scale: ScaleSource
    confidence: float
    spot_error: float | None
    radiometric_error: float | None  # greatest difference to flyr
    reasons: tuple[str, ...]


def evaluate_pictures(folder: Path, out: Path) -> list[PictureRow]:
    """Analyse all labelled pictures of ``folder``; a contact sheet for looking at goes into ``out``."""
    labels: dict[str, dict[str, Any]] = json.loads((folder / "labels.json").read_text())["pictures"]
    rows, cells = [], []
    for name, label in labels.items():
        row, cell = _evaluate(folder / name, name, label)
        rows.append(row)
        cells.append(cell)
    while len(cells) % 3:
        cells.append(np.zeros_like(cells[0]))
    sheet = np.vstack([np.hstack(cells[at : at + 3]) for at in range(0, len(cells), 3)])
    cv2.imwrite(str(out / "pictures.jpg"), sheet[..., ::-1])
    return rows


def _evaluate(path: Path, name: str, label: dict[str, Any]) -> tuple[PictureRow, Any]:
    data = path.read_bytes()
    colour_path = path.with_name(path.name.replace("-thermal", "-rgb"))
    colour = colour_path.read_bytes() if colour_path != path and colour_path.exists() else None
    inside, outside = label.get("inside"), label.get("outside")
    with tempfile.TemporaryDirectory() as scratch:
        analysis = analyse_files(
            data,
            colour,
            Path(scratch),
            task_type=_part(label["what"]),
            inside_f=None if inside is None else inside * 1.8 + 32,
            outside_f=None if outside is None else outside * 1.8 + 32,
        )
        drawn = cv2.imread(str(analysis.image)) if analysis.image else None
    image = np.zeros((10, 10, 3), np.uint8) if drawn is None else np.asarray(drawn, np.uint8)
    report = analysis.report
    printed = tuple(label["range"]) if "range" in label else None
    photo = Photograph(data)
    thermogram = read_thermogram(photo, inside_c=inside, outside_c=outside, printed_range=printed)
    guessed = read_thermogram(photo, inside_c=inside, outside_c=outside)
    width, height = thermogram.photo_size
    union = np.zeros((height, width), np.uint8)
    for finding in report.findings:
        union |= finding_mask(finding, (height, width)).astype(np.uint8)
    at_spot = None
    if label.get("at"):
        reach = 2 * round(_NEAR * max(width, height)) + 1
        near = cv2.dilate(union, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
        at_spot = bool(near[label["at"][1], label["at"][0]])
    row = PictureRow(
        name=name,
        defect=label.get("defect"),
        severity=report.leakSeverity,
        findings=tuple(finding.kind for finding in report.findings),
        at_spot=at_spot,
        palette=thermogram.palette,
        explained=thermogram.palette_confidence,
        blended=thermogram.blended,
        scale=guessed.scale,
        confidence=report.confidence.score if report.confidence else 0.0,
        spot_error=_spot_error(label, thermogram),
        radiometric_error=_radiometric_error(data, thermogram) if label.get("radiometric") else None,
        reasons=(report.confidence.reasons if report.confidence else ()) + ((report.reason,) if report.reason else ()),
    )
    factor = min(500 / image.shape[1], 560 / image.shape[0])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)[..., ::-1]
    cell = np.zeros((600, 510, 3), np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small
    text = f"{name.split('/')[-1]} {report.leakSeverity} {row.at_spot}"
    cv2.putText(cell, text, (4, 590), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return row, cell


def _part(what: str) -> TaskType:
    """What the homeowner would say that the picture shows."""
    if "door" in what:
        return TaskType.DOOR
    return TaskType.WINDOW if "window" in what or "sill" in what else TaskType.WALL


def _spot_error(label: dict[str, Any], thermogram: Any) -> float | None:
    """Difference to the printed spot; where that lies beyond the printed range, the nearest end is expected."""
    if "spot" not in label or "rect" not in label:
        return None
    x0, y0, x1, y1 = label["rect"]
    wx0, wy0, wx1, wy1 = thermogram.window
    rows, columns = thermogram.temperature.shape
    column = ((x0 + x1) / 2 - wx0) * columns / max(wx1 - wx0, 1)
    row = ((y0 + y1) / 2 - wy0) * rows / max(wy1 - wy0, 1)
    reading = spot_reading(thermogram, column, row)
    if reading is None:
        return None
    return abs(reading - float(np.clip(label["spot"], *label["range"])))


def _radiometric_error(data: bytes, thermogram: Any) -> float | None:
    """Greatest difference to flyr's temperatures over all pixels; None where flyr cannot read the file."""
    if thermogram.scale is not ScaleSource.RADIOMETRIC:
        return float("inf")
    try:
        expected = flyr.unpack(io.BytesIO(data)).celsius
    except Exception:  # noqa: BLE001 - flyr raises whatever its parsing trips over; then there is no cross-check
        return None
    if expected.shape != thermogram.temperature.shape:
        expected = np.rot90(expected)  # held upright, the camera stores its values lying
    if expected.shape != thermogram.temperature.shape:
        return float("inf")
    return float(np.abs(expected - thermogram.temperature).max())
