"""The whole analysis of one submission: photos in, a report and its image out. Runs in a worker process."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from math import ceil, floor

from contracts.events import PhotoKind
from contracts.reports import Report
from services.analysis.analyser import Analysis, AnalysisRequest, PhotoFile, UnusablePhotosError
from services.analysis.thermography.conditions import Conditions
from services.analysis.thermography.observation import assess
from services.analysis.thermography.pictures import UnreadablePhotoError
from services.analysis.thermography.rendering import Mark, Panel, Rgb, Sheet, draw_sheet, draw_thumbnail
from services.analysis.thermography.report import (
    finding_detail,
    finding_title,
    footnotes,
    headline,
    listed,
    observation_names,
    title,
    unknown_report,
    write_report,
)
from services.analysis.thermography.thermogram import Photograph, Thermogram, looks_thermal, read_thermogram

# looks_thermal() from which on a photo counts as a thermal one; a name that says so needs less.
_LOOKS_THERMAL = 0.5
_NAMED_THERMAL = 0.2
# Longer side of a photo on the report image at most: of one that stands there alone, and of one beside another.
_ALONE_PX, _BESIDE_PX = 1032, 720
_MOST_OBSERVATIONS = 12  # that are analysed: bounds time and memory
_MOST_PANELS = 4  # that are drawn
# A thermal picture that fills less than this share of its photo's width or height is cut out of it for the report
# image, with a margin of this share of its longer side. One in a phone's screenshot fills up to 0.62 of its height; the
# frame that cameras print around theirs leaves 0.69 or more, of those seen.
_MUCH_SMALLER, _CUT_MARGIN = 0.65, 0.03


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A photo that may be the thermal one of its observation."""

    file: PhotoFile
    photograph: Photograph
    likely: float  # as :func:`looks_thermal` says


@dataclass(frozen=True, slots=True)
class _Observation:
    """The readable photos of one observation."""

    number: int
    thermogram: Thermogram | None  # None where no photo is a thermal one
    thermal: Rgb | None  # upright, as shown
    colour: Rgb | None  # upright, as shown


def analyse_submission(request: AnalysisRequest) -> Analysis:
    """Analyse one submission; the pictures are written into its scratch folder.

    Raises :class:`~services.analysis.analyser.UnusablePhotosError` when there are photos and none can be read.
    """
    conditions = Conditions.from_fahrenheit(request.inside_temp_f, request.outside_temp_f)
    faults: list[str] = []
    observations = _read(request.photos, conditions, faults)
    if request.photos and not observations:
        raise UnusablePhotosError(" ".join(faults))
    assessments = [
        assess(observation.number, observation.thermogram, conditions, request.task_type)
        for observation in observations
        if observation.thermogram is not None
    ]
    if assessments:
        faults += [
            f"Observation {observation.number + 1} has no thermal photo to judge it by."
            for observation in observations
            if observation.thermogram is None
        ]
    image_name = f"{request.task_id}_analysis_image.jpg" if observations else None
    if assessments:
        report = write_report(request, conditions, assessments, faults, image_name)
    else:
        report = unknown_report(request, _no_thermal_reason(request, faults), faults, image_name)
    if not observations:
        return Analysis(report, image=None)
    ordered = _by_heat(observations, report)
    several = len(observations) > 1
    panels = tuple(_panel(observation, report, conditions, several) for observation in ordered[:_MOST_PANELS])
    notes = (*_not_shown(ordered[_MOST_PANELS:], report), *footnotes(report))
    image = draw_sheet(Sheet(report.leakSeverity, title(report), headline(report, request), panels, notes))
    image_path, thumbnail_path = request.scratch / "report.jpg", request.scratch / "thumbnail.jpg"
    image_path.write_bytes(image)
    thumbnail_path.write_bytes(draw_thumbnail(panels[0]))
    return Analysis(report, image_path, thumbnail_path)


def _read(photos: Sequence[PhotoFile], conditions: Conditions, faults: list[str]) -> list[_Observation]:
    """Read the observations, by number. Photos that cannot be used add a sentence to ``faults``.

    The same thermal photo under two numbers is one observation: its loss must not count twice.
    """
    numbers = sorted({photo.observation for photo in photos})
    if len(numbers) > _MOST_OBSERVATIONS:
        faults.append(f"Only the first {_MOST_OBSERVATIONS} of {len(numbers)} observations were analysed.")
    seen: set[bytes] = set()
    observations = []
    for number in numbers[:_MOST_OBSERVATIONS]:
        own = sorted(
            (photo for photo in photos if photo.observation == number),
            key=lambda photo: (photo.kind is not PhotoKind.THERMAL, photo.name),
        )
        observation = _read_observation(number, own, conditions, seen, faults)
        if observation is not None:
            observations.append(observation)
    return observations


def _read_observation(
    number: int, photos: Sequence[PhotoFile], conditions: Conditions, seen: set[bytes], faults: list[str]
) -> _Observation | None:
    """Find the thermal photo among an observation's photos, by content where the name is wrong, and read both."""
    enough = _ALONE_PX if len(photos) == 1 else _BESIDE_PX
    looked_at: list[_Candidate] = []
    remaining = iter(photos)
    for photo in remaining:
        photograph = _opened(photo, enough, faults)
        if photograph is not None:
            looked_at.append(_Candidate(photo, photograph, looks_thermal(photograph)))
            if looked_at[0].likely >= _LOOKS_THERMAL:
                break  # the thermal one is found: no need to look closer at the rest
    thermal = _thermal_among(looked_at)
    thermogram = None
    if thermal is not None:
        digest = sha256(thermal.photograph.data).digest()
        if digest in seen:
            faults.append(f"{thermal.file.name} is the same photo as another one and was counted once.")
            return None
        seen.add(digest)
        thermogram = read_thermogram(thermal.photograph, inside_c=conditions.inside, outside_c=conditions.outside)
        if thermal.file.kind is not PhotoKind.THERMAL:
            faults.append(f"{thermal.file.name} was used as the thermal photo: it looks like one.")
    others = (candidate.photograph for candidate in looked_at if candidate is not thermal)
    rest = (_opened(photo, enough, faults) for photo in remaining)
    colour = next((photograph for photograph in chain(others, rest) if photograph is not None), None)
    if thermal is None and colour is None:
        return None
    return _Observation(
        number,
        thermogram,
        None if thermal is None else thermal.photograph.picture.rgb,
        None if colour is None else colour.picture.rgb,
    )


def _opened(photo: PhotoFile, enough: int, faults: list[str]) -> Photograph | None:
    """Open a photo; one that is unreadable adds a sentence to ``faults``."""
    try:
        return Photograph(photo.path.read_bytes(), enough=enough)
    except UnreadablePhotoError as error:
        faults.append(f"{photo.name}: {error}")
        return None


def _thermal_among(candidates: Sequence[_Candidate]) -> _Candidate | None:
    """The photo that is the thermal one, if any: the likeliest by content, else one that its name and content allow."""
    best = max(candidates, key=lambda candidate: candidate.likely, default=None)
    if best is None:
        return None
    named = best.file.kind is PhotoKind.THERMAL
    return best if best.likely >= (_NAMED_THERMAL if named else _LOOKS_THERMAL) else None


def _no_thermal_reason(request: AnalysisRequest, faults: Sequence[str]) -> str:
    if not request.photos:
        return "There are no photos, so there is nothing to analyse: please add a thermal photo."
    names = {photo.name for photo in request.photos if photo.kind is PhotoKind.THERMAL}
    unreadable = next((fault for fault in faults if fault.partition(": ")[0] in names), None)
    if unreadable is not None:
        return unreadable
    if any(photo.kind is PhotoKind.THERMAL for photo in request.photos):
        return "None of the photos looks like a thermal photo, and only that shows leaks: please add one."
    return "There is no thermal photo, and only that shows leaks: please add one."


def _by_heat(observations: Sequence[_Observation], report: Report) -> list[_Observation]:
    """The observations in the order to draw them: those with the worst findings first, then by number."""
    first: dict[int, int] = {}
    for finding in report.findings:
        first.setdefault(finding.observation, finding.number)
    return sorted(observations, key=lambda item: (first.get(item.number, 10**6), item.thermogram is None, item.number))


def _not_shown(observations: Sequence[_Observation], report: Report) -> list[str]:
    """Say which observations have no place on the image, and which findings are missing with them."""
    if not observations:
        return []
    numbers = sorted(observation.number for observation in observations)
    found = [finding.number for finding in report.findings if finding.observation in numbers]
    text = f"Not shown here: {observation_names(numbers).lower()}"
    if found:
        text += f", with finding{'s' if len(found) > 1 else ''} {listed(found)}"
    return [f"{text}."]


def _panel(observation: _Observation, report: Report, conditions: Conditions, several: bool) -> Panel:
    thermal, (left, top, right, bottom) = _cut_out(observation)
    marks = tuple(
        Mark(
            finding.number,
            tuple(((x - left) / (right - left), (y - top) / (bottom - top)) for x, y in finding.outline),
            finding_title(finding, conditions),
            finding_detail(finding, conditions),
        )
        for finding in report.findings
        if finding.observation == observation.number
    )
    return Panel(
        thermal=thermal,
        colour=observation.colour,
        marks=marks,
        caption=f"Observation {observation.number + 1}" if several else "",
    )


def _cut_out(observation: _Observation) -> tuple[Rgb | None, tuple[float, float, float, float]]:
    """The thermal picture as it is shown, and what of its photo that is: x0, y0, x1, y1 as fractions."""
    thermal, thermogram = observation.thermal, observation.thermogram
    if thermal is None or thermogram is None:
        return thermal, (0.0, 0.0, 1.0, 1.0)
    width, height = thermogram.photo_size
    x0, y0, x1, y1 = thermogram.window
    if thermogram.blended or min((x1 - x0) / width, (y1 - y0) / height) > _MUCH_SMALLER:
        return thermal, (0.0, 0.0, 1.0, 1.0)
    margin = _CUT_MARGIN * max(x1 - x0, y1 - y0)
    rows, columns = thermal.shape[:2]
    left, top = floor(max(x0 - margin, 0) / width * columns), floor(max(y0 - margin, 0) / height * rows)
    right, bottom = ceil(min(x1 + margin, width) / width * columns), ceil(min(y1 + margin, height) / height * rows)
    return thermal[top:bottom, left:right], (left / columns, top / rows, right / columns, bottom / rows)
