"""The result of a run, as Markdown for a person and as JSON for a program."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.checker import counted, shortest
from tests.chaos.history import Event
from tests.chaos.run import Course, Fault


def figures(events: Iterable[Event]) -> dict[str, Any]:
    """How much the phones did, and how it was answered."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    jobs: set[str] = set()
    ends: dict[str, str] = {}
    for event in events:
        if event["phase"] in ("answer", "unknown") and event["kind"] != "fault":
            answers[event["kind"]][str(event.get("status", event.get("error")))] += 1
        if event["kind"] == "submit" and event.get("status") == 200:
            jobs.add(event["job"])
        if event.get("state") in ("done", "error"):
            ends[event["job"]] = event.get("reason", "done")
    return {
        "answers": {kind: dict(counts.most_common()) for kind, counts in sorted(answers.items())},
        "jobs acknowledged": len(jobs),
        "ends": dict(Counter(end for job, end in ends.items() if job in jobs).most_common()),
    }


def recoveries(faults: Iterable[Fault]) -> list[tuple[str, int, int, float | None, float | None]]:
    """For each group: faults one by one, faults together with others, median and longest recovery in seconds."""
    groups: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        if fault.did is not None:
            groups[fault.group].append(fault)
    lines = []
    for group, struck in sorted(groups.items()):
        timed = [fault.recovered for fault in struck if fault.recovered is not None]
        together = sum(fault.together for fault in struck)
        median = round(statistics.median(timed), 1) if timed else None
        lines.append((group, len(struck) - together, together, median, round(max(timed), 1) if timed else None))
    return lines


def markdown(course: Course, events: list[Event]) -> str:
    """The report."""
    counts = counted(course.violations)
    did = figures(events)
    lines = [
        f"# Chaos run, seed {course.seed}",
        "",
        f"{course.seconds / 60:.1f} minutes, {sum(f.did is not None for f in course.faults)} faults, "
        f"{did['jobs acknowledged']} submissions acknowledged, "
        + (f"**{sum(counts.values())} violations**." if course.judged else "**not checked**: the run was cut short."),
        "",
        "| violation | count |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in counts.items()),
        "",
        "| fault | alone | with others | median recovery [s] | longest [s] |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join('–' if v is None else str(v) for v in line)} |" for line in recoveries(course.faults)),
        "",
        f"After the last healing all jobs had ended within {course.drained} s."
        if course.drained is not None
        else "Not all jobs had ended within a minute of the last healing.",
        "",
        "Ends of acknowledged jobs: " + ", ".join(f"{count} × {end}" for end, count in did["ends"].items()) + ".",
        "",
        "| request | answers |",
        "|---|---|",
        *(
            f"| {kind} | {', '.join(f'{count} × {what}' for what, count in counts.items())} |"
            for kind, counts in did["answers"].items()
        ),
    ]
    by_themselves = {name: count for name, count in course.ended_by_themselves.items() if count}
    if by_themselves:
        lines += ["", f"Processes that ended by themselves and were started again: {by_themselves}."]
    if missed := Counter(fault.name for fault in course.faults if fault.did is None):
        lines += ["", "Nemeses whose moment did not come: " + ", ".join(missed) + "."]
    if (violation := shortest(course.violations)) is not None:
        lines += [
            "",
            "## The shortest failing history",
            "",
            f"{violation.kind}: {violation.about}: {violation.told}",
            "",
        ]
        lines += ["```", *(json.dumps(event) for event in violation.history), "```"]
        lines += ["", "## All violations", ""]
        lines += [f"- {other.kind}: {other.about}: {other.told}" for other in course.violations[:200]]
    return "\n".join(lines) + "\n"


def write(folder: Path, course: Course, events: list[Event]) -> Path:
    """Write both forms into ``folder``; the Markdown's path."""
    value = {
        "seed": course.seed,
        "seconds": course.seconds,
        "drained": course.drained,
        "violations": counted(course.violations),
        "figures": figures(events),
        "faults": [asdict(fault) for fault in course.faults],
        "found": [asdict(violation) for violation in course.violations],
    }
    (folder / "report.json").write_text(json.dumps(value, indent=1), encoding="utf-8")
    path = folder / "report.md"
    path.write_text(markdown(course, events), encoding="utf-8")
    return path
