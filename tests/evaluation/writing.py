"""The evaluation's report: each promise beside its figure, then the tables that explain it."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from contracts.reports import DefectKind, Severity
from tests.evaluation.outcome import Mistyped, Outcome
from tests.evaluation.photographs import PictureRow
from tests.evaluation.sheets import failed
from tests.evaluation.speed import Speed
from tests.synthetic import Condition

SCALE = (Severity.NONE, Severity.LOW, Severity.MODERATE, Severity.HIGH)


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured."""

    seed_range: str
    first_seed: int
    winter: list[Outcome]
    special: dict[Condition, list[Outcome]]
    mistyped: dict[Mistyped, list[Outcome]]  # the first of the winter scenes again
    pictures: list[PictureRow]
    speed: Speed
    same_bytes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the table of targets."""

    what: str
    target: str
    measured: str
    met: bool | None  # None: not measured


def write_report(results: Results, path: Path, summary: Path | None) -> None:
    """Write the whole report to ``path``, and for ``docs`` to ``summary``."""
    text = "\n".join(_lines(results))
    path.write_text(text)
    if summary is not None:
        summary.parent.mkdir(exist_ok=True)
        summary.write_text(text)


def share(outcomes: Iterable[Outcome], holds: Callable[[Outcome], bool]) -> float:
    """Share of the outcomes for which something holds; 0 without outcomes."""
    values = [holds(outcome) for outcome in outcomes]
    return sum(values) / len(values) if values else 0.0


def _classes_apart(outcome: Outcome) -> int | None:
    if outcome.said is Severity.UNKNOWN:
        return None
    return abs(SCALE.index(outcome.truth) - SCALE.index(outcome.said))


def promises(results: Results) -> list[Promise]:
    """The targets with their figures."""
    scenes = results.winter
    leaky = [outcome for outcome in scenes if outcome.defects]
    sound = [outcome for outcome in scenes if not outcome.defects]
    drawn = [outcome for outcome in scenes if outcome.palette is not None]
    found = share(leaky, lambda o: o.found)
    iou = statistics.median([o.iou for o in leaky if o.iou is not None]) if leaky else 0.0
    alarms = share(sound, lambda o: o.said in (Severity.MODERATE, Severity.HIGH))
    any_alarm = share(sound, lambda o: o.false_alarm)
    near = share(scenes, lambda o: _classes_apart(o) in (0, 1))
    exact = share(scenes, lambda o: _classes_apart(o) == 0)
    covered = share(scenes, lambda o: o.covered)
    covered_leaky = share(leaky, lambda o: o.covered)
    widths = [o.width for o in scenes if o.width is not None]
    widest = max(widths, default=0.0)
    named = share(drawn, lambda o: o.palette_said == o.palette)
    errors = [o.decoding_error for o in drawn if o.decoding_error is not None]
    spots = [o.spot_error for o in drawn if o.spot_error is not None]
    spot = statistics.fmean(spots) if spots else float("nan")
    lines = [
        Promise(
            "scenes whose gravest defect is found (IoU ≥ 0.3)", "≥ 95 %", f"{found:.1%} of {len(leaky)}", found >= 0.95
        ),
        Promise("median mask IoU", "≥ 0.70", f"{iou:.2f}", iou >= 0.7),
        Promise("sound scenes called Moderate or High", "≤ 2 %", f"{alarms:.1%} of {len(sound)}", alarms <= 0.02),
        Promise("sound scenes called Low or above", "≤ 10 %", f"{any_alarm:.1%}", any_alarm <= 0.1),
        Promise("severity within one class", "≥ 97 %", f"{near:.1%}", near >= 0.97),
        Promise("severity exact", "≥ 75 %", f"{exact:.1%}", exact >= 0.75),
        Promise(
            "true energy inside the stated range",
            "≥ 85 %",
            f"{covered:.1%} of all scenes; {covered_leaky:.1%} of those with a defect",
            covered >= 0.85,
        ),
        Promise("widest stated range, upper by lower end", "≤ 6", f"{widest:.1f}", widest <= 6),
        Promise("palette named right", "≥ 95 %", f"{named:.1%} of {len(drawn)}", named >= 0.95),
        Promise(
            "temperature at printed spots, range given (synthetic)",
            "≤ 0.6 °C mean",
            f"{spot:.2f} °C at {len(spots)} spots; {statistics.fmean(errors):.2f} °C over the scenes",
            spot <= 0.6,
        ),
    ]
    lines += _picture_promises(results.pictures)
    everything = scenes + [outcome for some in results.special.values() for outcome in some]
    crashes = sorted({outcome.crash for outcome in everything if outcome.crash})
    lines.append(Promise("scenes on which the analysis crashed", "none", "; ".join(crashes) or "none", not crashes))
    same, of = results.same_bytes
    speed = results.speed
    lines += [
        Promise("12 MP + 1440×1080 pair, one core, median", "≤ 250 ms", f"{speed.total:.0f} ms", speed.total <= 250),
        Promise("peak memory of a worker", "≤ 400 MB", f"{speed.peak_memory:.0f} MB", speed.peak_memory <= 400),
        Promise("same bytes in another process", "all", f"{same} of {of}", same == of),
    ]
    return lines


def _picture_promises(rows: list[PictureRow]) -> list[Promise]:
    survey = [row for row in rows if row.name.startswith("phone-survey/")]
    defects = [row for row in survey if row.defect]
    flagged = [row for row in defects if row.findings and row.at_spot is not False]
    hot = [row for row in rows if row.defect is False]
    loud = [row for row in hot if row.severity in (Severity.MODERATE, Severity.HIGH)]
    spots = [row.spot_error for row in rows if row.spot_error is not None]
    raw = [row.radiometric_error for row in rows if row.radiometric_error is not None]
    if not rows:
        unmeasured = "not measured: no folder of real pictures given"
        return [
            Promise("phone-survey defects flagged at the author's spot", "12 of 12", unmeasured, None),
            Promise("hot-object pictures at Moderate or above", "none", unmeasured, None),
            Promise("R-JPEG against flyr", "≤ 0.01 °C", unmeasured, None),
        ]
    spot = statistics.fmean(spots)
    return [
        Promise(
            "phone-survey defects flagged at the author's spot",
            "12 of 12",
            f"{len(flagged)} of {len(defects)}",
            len(flagged) == len(defects),
        ),
        Promise("hot-object pictures at Moderate or above", "none", f"{len(loud)} of {len(hot)}", not loud),
        Promise("temperature at printed spots (real)", "≤ 0.6 °C mean", f"{spot:.2f} °C of {len(spots)}", spot <= 0.6),
        Promise("R-JPEG against flyr, greatest difference", "≤ 0.01 °C", f"{max(raw):.4f} °C", max(raw) <= 0.01),
    ]


def _lines(results: Results) -> Iterable[str]:
    scenes = results.winter
    last = results.first_seed + len(scenes) - 1
    yield "# How well the thermographic analysis works"
    yield ""
    held_out = results.seed_range == "held-out"
    yield f"By `python -m tests.evaluation --seed-range {results.seed_range} --scenes {len(scenes)}`: synthetic"
    yield f"seeds {results.first_seed} to {last}, drawn by `tests/synthetic` with exact truth; half of them are sound."
    yield f"These seeds were {'not used while' if held_out else 'those on which'} the analysis was tuned. Figures about"
    yield "synthetic scenes say how the analysis does on what the generator models, not on every house."
    yield "What is missed, and why: [thermography.md](thermography.md#what-is-missed-and-why)."
    yield ""
    yield "| promise | target | measured | |"
    yield "|---|---|---|---|"
    for promise in promises(results):
        mark = {True: "met", False: "**missed**", None: "–"}[promise.met]
        yield f"| {promise.what} | {promise.target} | {promise.measured} | {mark} |"
    yield ""
    yield from _detection(scenes)
    yield from _severity(scenes)
    yield from _breakdown(scenes)
    yield from _palettes(scenes)
    yield from _special(results.special)
    yield from _mistyped(results)
    yield from _pictures(results.pictures)
    yield from _speed(results.speed)
    yield from _failures(scenes)


def _detection(scenes: list[Outcome]) -> Iterable[str]:
    yield "## Found and false, by kind"
    yield ""
    yield "| kind | true | found | named right when found | median IoU | findings in sound scenes |"
    yield "|---|---|---|---|---|---|"
    false = Counter(kind for outcome in scenes if not outcome.defects for kind in outcome.findings)
    for kind in DefectKind:
        true = [defect for outcome in scenes for defect in outcome.defects if defect.kind is kind]
        hits = [defect for defect in true if defect.found]
        right = sum(defect.named is kind for defect in hits)
        middle = f"{statistics.median(defect.iou for defect in true):.2f}" if true else "–"
        found = f"{len(hits)} ({len(hits) / len(true):.0%})" if true else "–"
        yield f"| {kind} | {len(true)} | {found} | {right} | {middle} | {false[kind]} |"
    yield ""


def _severity(scenes: list[Outcome]) -> Iterable[str]:
    yield "## Severity: truth (rows) against what was said (columns)"
    yield ""
    said = (*SCALE, Severity.UNKNOWN)
    yield "| | " + " | ".join(said) + " |"
    yield "|---" * (len(said) + 1) + "|"
    for true in SCALE:
        counts = [sum(o.truth is true and o.said is column for o in scenes) for column in said]
        yield f"| **{true}** | " + " | ".join(map(str, counts)) + " |"
    yield ""


def _breakdown(scenes: list[Outcome]) -> Iterable[str]:
    yield "## By what the file says about its temperatures"
    yield ""
    yield "| scale | scenes | found | false alarms (Low+) | severity exact | energy covered | median said/true energy |"
    yield "|---|---|---|---|---|---|---|"
    for scale in sorted({outcome.scale for outcome in scenes}):
        some = [outcome for outcome in scenes if outcome.scale is scale]
        leaky = [outcome for outcome in some if outcome.defects]
        sound = [outcome for outcome in some if not outcome.defects]
        ratios = [o.said_kwh / o.true_kwh for o in leaky if o.said_kwh]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "–"
        yield (
            f"| {scale} | {len(some)} | {share(leaky, lambda o: o.found):.0%} of {len(leaky)} "
            f"| {share(sound, lambda o: o.false_alarm):.0%} of {len(sound)} "
            f"| {share(some, lambda o: o.truth is o.said):.0%} | {share(some, lambda o: o.covered):.0%} | {ratio} |"
        )
    yield ""


def _palettes(scenes: list[Outcome]) -> Iterable[str]:
    yield "## Palettes"
    yield ""
    yield "| palette | pictures | named right | taken for | mean temperature error, range given |"
    yield "|---|---|---|---|---|"
    for palette in sorted({outcome.palette for outcome in scenes if outcome.palette}):
        some = [outcome for outcome in scenes if outcome.palette == palette]
        wrong = Counter(str(o.palette_said) for o in some if o.palette_said != palette)
        errors = [o.decoding_error for o in some if o.decoding_error is not None and o.palette_said == palette]
        error = f"{statistics.fmean(errors):.2f} °C" if errors else "–"
        others = ", ".join(f"{name} {count}" for name, count in sorted(wrong.items())) or "–"
        yield f"| {palette} | {len(some)} | {len(some) - sum(wrong.values())} | {others} | {error} |"
    yield ""


def _special(special: dict[Condition, list[Outcome]]) -> Iterable[str]:
    yield "## Circumstances in which a photo says less"
    yield ""
    yield "| circumstances | scenes | said of sound ones | said of leaking ones | median confidence |"
    yield "|---|---|---|---|---|"
    for condition, some in special.items():
        texts = []
        for leaking in (False, True):
            counts = Counter(o.said for o in some if bool(o.defects) is leaking)
            texts.append(", ".join(f"{severity} {count}" for severity, count in sorted(counts.items())))
        middle = statistics.median(outcome.confidence for outcome in some)
        yield f"| {condition} | {len(some)} | {texts[0]} | {texts[1]} | {middle:.2f} |"
    yield ""


def _mistyped(results: Results) -> Iterable[str]:
    yield "## When the typed temperatures are wrong"
    yield ""
    yield "The first winter scenes again, with other temperatures typed. As drawn, those typed are wrong by"
    yield "1 °F inside and 3 °F outside (standard deviations)."
    yield ""
    yield "| typed | scenes | found | sound: Low or above | sound: Moderate or above | true energy in range |"
    yield "|---|---|---|---|---|---|"
    some = len(next(iter(results.mistyped.values()), []))
    for by, outcomes in {Mistyped(): results.winter[:some], **results.mistyped}.items():
        leaking = [outcome for outcome in outcomes if outcome.defects]
        sound = [outcome for outcome in outcomes if not outcome.defects]
        figures = (
            share(leaking, lambda o: o.found),
            share(sound, lambda o: o.false_alarm),
            share(sound, lambda o: o.said in (Severity.MODERATE, Severity.HIGH)),
            share(outcomes, lambda o: o.covered),
        )
        errors = {"inside": by.inside, "outside": by.outside}
        off = ", ".join(f"{error:+g} °F {where}" for where, error in errors.items() if error)
        yield f"| {off or 'as drawn'} | {len(outcomes)} | {' | '.join(f'{100 * figure:.0f}%' for figure in figures)} |"
    yield ""


def _pictures(rows: list[PictureRow]) -> Iterable[str]:
    yield "## Real pictures"
    yield ""
    if not rows:
        yield "Skipped: no folder of real pictures was given (`--pictures` or `THERMAL_PICTURES`)."
        yield ""
        return
    yield "These pictures were at hand while the analysis was made: they do not test it on the unseen, as the seeds do."
    yield "A defect whose place is not known counts as flagged when anything is found."
    yield ""
    yield "| picture | shows | said | findings | at spot | palette | explained | confidence | spot error | to flyr |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        spot = "–" if row.spot_error is None else f"{row.spot_error:.2f} °C"
        raw = "–" if row.radiometric_error is None else f"{row.radiometric_error:.4f} °C"
        place = {True: "yes", False: "**no**", None: "–"}[row.at_spot]
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(Counter(row.findings).items())) or "none"
        palette = f"{row.palette or 'raw values'}{', blended' if row.blended else ''}"
        truth = {True: "defect", False: "no leak", None: "unknown"}[row.defect]
        yield (
            f"| {row.name} | {truth} | {row.severity} | {kinds} | {place} | {palette} "
            f"| {row.explained:.2f} | {row.confidence:.2f} | {spot} | {raw} |"
        )
    yield ""


def _speed(speed: Speed) -> Iterable[str]:
    yield "## Time and memory"
    yield ""
    yield f"A 12-megapixel colour photo and a 1440×1080 thermal picture on one thread: median {speed.total:.0f} ms."
    yield f"Peak memory {speed.peak_memory:.0f} MB, of which {speed.idle_memory:.0f} MB before the first photo."
    yield ""
    yield "| stage | ms per submission |"
    yield "|---|---|"
    for stage, milliseconds in speed.stages.items():
        yield f"| {stage} | {milliseconds:.0f} |"
    yield ""


def _failures(scenes: list[Outcome]) -> Iterable[str]:
    wrong = [outcome for outcome in scenes if failed(outcome)]
    yield f"## Failures ({len(wrong)} of {len(scenes)} winter scenes)"
    yield ""
    yield "Scenes whose severity is not exact, or whose gravest defect is missed."
    yield ""
    yield "| seed | scene | scale | truth | said | found | IoU | true kWh/month | said | range |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for o in wrong:
        iou = "–" if o.iou is None else f"{o.iou:.2f}"
        kinds = ", ".join(defect.kind for defect in o.defects) or "sound"
        found = "yes" if o.found else "**no**"
        said = f"{o.said}: {', '.join(o.findings) or 'nothing'}"
        yield (
            f"| {o.seed} | {o.description} | {o.scale} | {o.truth}: {kinds} | {said} "
            f"| {found} | {iou} | {o.true_kwh:.1f} | {o.said_kwh} | {o.low_kwh}–{o.high_kwh} |"
        )
    yield ""
