"""The whole analysis of one submission: photos in, a report and its image out. Runs in a worker process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import ceil, floor

from contracts.events import PhotoKind
from contracts.reports import Report, report_image_name
from services.analysis.analyser import Analysis, AnalysisRequest, PhotoFile, UnusablePhotosError
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.judging.observation import assess
from services.analysis.thermography.reading.likeness import looks_ordinary, looks_thermal
from services.analysis.thermography.reading.pictures import UnreadablePhotoError, photo_format
from services.analysis.thermography.reading.thermogram import Photograph, Thermogram, read_thermogram
from services.analysis.thermography.telling.rendering import Mark, Panel, Rgb, Sheet, draw_sheet, draw_thumbnail
from services.analysis.thermography.telling.report import (
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

# looks_thermal() from which on a photo counts as a thermal one; a name that says so needs less.
_LOOKS_THERMAL = 0.5
_NAMED_THERMAL = 0.2
# Beside another thermal photo one that is named a colour photo counts as thermal from here on: a dull, grey photo of a
# room may reach 0.65. Where two look thermal, the name weighs as much as the second figure.
_SURELY_THERMAL = 0.7
_NAME_WEIGHT = 0.3
# Longer side of a photo on the report image at most: of one that stands there alone, and of one beside another.
_ALONE_PX, _BESIDE_PX = 1032, 720
_MOST_OBSERVATIONS = 12  # that are analysed
_MOST_LOOKED_AT = 4  # photos of one observation
# Megapixels of all photos that are looked at, until which another one is. A JPEG counts a quarter: it is decoded
# scaled down. Measured on a busy machine: 0.06 to 0.1 s each. With the two limits above, the heaviest
# submissions measured took a worker to 370 MB in all, with files of up to 3 MB; larger files add their own size.
_MOST_MEGAPIXELS = 160
_JPEG_EFFORT = 0.25
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

    @property
    def named(self) -> bool:
        """Whether its name says that it is thermal."""
        return self.file.kind is PhotoKind.THERMAL

    @property
    def rank(self) -> float:
        """Of two that may be thermal the one with the higher rank is taken for it."""
        return self.likely + (_NAME_WEIGHT if self.named and self.likely >= _LOOKS_THERMAL else 0.0)


@dataclass(slots=True)
class _Reading:
    """What is known while the photos of a submission are read."""

    conditions: Conditions
    faults: list[str]  # sentences on photos that cannot be used
    several: bool  # observations, whose pictures are all held until the sheet is drawn
    seen: set[bytes] = field(default_factory=set)  # digests of the thermal photos
    unused: list[str] = field(default_factory=list)  # names of photos that are not looked at or not needed
    megapixels: float = 0.0  # of the photos that were opened, as :data:`_MOST_MEGAPIXELS` counts


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
    image_name = report_image_name(request.task_id) if observations else None
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
    reading = _Reading(conditions, faults, several=len(numbers) > 1)
    observations = []
    for number in numbers[:_MOST_OBSERVATIONS]:
        own = sorted(
            (photo for photo in photos if photo.observation == number),
            key=lambda photo: (photo.kind is not PhotoKind.THERMAL, photo.name),
        )
        observation = _read_observation(number, own, reading)
        if observation is not None:
            observations.append(observation)
    if reading.unused:
        faults.append(_unused_words(reading))
    return observations


def _read_observation(number: int, photos: Sequence[PhotoFile], reading: _Reading) -> _Observation | None:
    """Find the thermal photo among an observation's photos, by content where the name is wrong, and a colour photo.

    Of all photos only the likeliest to be thermal is kept while the next is opened. Another thermal photo is never
    shown as the colour photo.
    """
    enough = _ALONE_PX if len(photos) == 1 else _BESIDE_PX
    best: _Candidate | None = None
    colour: Rgb | None = None
    for at, photo in enumerate(photos):
        found = best is not None and best.likely >= _LOOKS_THERMAL
        if at == _MOST_LOOKED_AT or (found and colour is not None) or reading.megapixels > _MOST_MEGAPIXELS:
            reading.unused += [left.name for left in photos[at:]]
            break
        photograph = _opened(photo, enough, reading)
        if photograph is None:
            continue
        # Beside a thermal photo a glance tells the colour photo, which takes a tenth of the time of looking closely.
        likely = 0.0 if found and looks_ordinary(photograph) else looks_thermal(photograph)
        other = _Candidate(photo, photograph, likely)
        if best is None:
            best = other
            continue
        if other.rank > best.rank:
            best, other = other, best
        if other.likely >= (_LOOKS_THERMAL if other.named else _SURELY_THERMAL):
            reading.faults.append(
                f"{other.file.name} is another thermal photo of the same observation and was left out."
            )
        elif colour is None:
            colour = _shown(other.photograph, enough, reading)
        else:
            reading.unused.append(other.file.name)
    if best is None:
        return None
    shown = _shown(best.photograph, enough, reading)
    if not _is_thermal(best):
        if colour is not None:
            reading.unused.append(best.file.name)
        return _Observation(number, None, None, shown if colour is None else colour)
    digest = sha256(best.photograph.data).digest()
    if digest in reading.seen:
        reading.faults.append(f"{best.file.name} is the same photo as another one and was counted once.")
        return None
    reading.seen.add(digest)
    conditions = reading.conditions
    thermogram = read_thermogram(best.photograph, inside_c=conditions.inside, outside_c=conditions.outside)
    if not best.named:
        reading.faults.append(f"{best.file.name} was used as the thermal photo: it looks like one.")
    return _Observation(number, thermogram, shown, colour)


def _opened(photo: PhotoFile, enough: int, reading: _Reading) -> Photograph | None:
    """Open a photo; one that is unreadable adds a sentence to the faults."""
    try:
        photograph = Photograph(photo.path.read_bytes(), enough=enough)
    except UnreadablePhotoError as error:
        reading.faults.append(f"{photo.name}: {error}")
        return None
    width, height = photograph.picture.size
    effort = _JPEG_EFFORT if photo_format(photograph.data) == "JPEG" else 1.0
    reading.megapixels += effort * width * height / 1e6
    return photograph


def _shown(photograph: Photograph, enough: int, reading: _Reading) -> Rgb:
    """The picture to draw: as it was decoded, or no larger than it needs to be where many are held."""
    return photograph.at_most(enough) if reading.several else photograph.picture.rgb


def _is_thermal(candidate: _Candidate) -> bool:
    """Whether the likeliest photo of an observation is a thermal one: by content, or as its name and content allow."""
    return candidate.likely >= (_NAMED_THERMAL if candidate.named else _LOOKS_THERMAL)


def _unused_words(reading: _Reading) -> str:
    """Say which photos were not looked at or not needed, and what to do."""
    names = ", ".join(reading.unused[:3])
    others = len(reading.unused) - 3
    which = f"{names} and {others} more were not used" if others > 0 else f"Not used: {names}"
    if reading.megapixels > _MOST_MEGAPIXELS:
        return f"{which}, because all the photos together are very large: please send smaller ones."
    return f"{which}: one thermal and one colour photo of each place are enough."


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
    if min((x1 - x0) / width, (y1 - y0) / height) > _MUCH_SMALLER:
        return thermal, (0.0, 0.0, 1.0, 1.0)
    margin = _CUT_MARGIN * max(x1 - x0, y1 - y0)
    rows, columns = thermal.shape[:2]
    left, top = floor(max(x0 - margin, 0) / width * columns), floor(max(y0 - margin, 0) / height * rows)
    right, bottom = ceil(min(x1 + margin, width) / width * columns), ceil(min(y1 + margin, height) / height * rows)
    return thermal[top:bottom, left:right], (left / columns, top / rows, right / columns, bottom / rows)
