"""The main figures of every full run, a line each, kept in the repository.

``python -m tests.benchmarks.history RUN.json [--commit NAME]`` adds a run by hand.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.results import Run, read
from tests.benchmarks.system import ROOT

HISTORY = ROOT / "docs" / "performance.jsonl"


@dataclass(frozen=True, slots=True)
class Main:
    """A figure worth following, by its names in a run; its target, and its yardstick's label.

    Where the target ``is_share``, it is that of the yardstick.
    """

    key: str
    title: str
    measure: str
    label: str
    unit: str
    bound: float
    yardstick: str | None = None
    yardstick_title: str = ""
    less_is_better: bool = False
    is_share: bool = False


MAIN = (
    Main(
        "submissions",
        "Submissions",
        "Submissions",
        "submissions",
        "/s",
        0.65,
        "raw GridFS pairs",
        "the photos alone into GridFS",
        is_share=True,
    ),
    Main("running polls", "Polls of running jobs", "Polls", "running polls", "/s", 900),
    Main("finished polls", "Polls of finished jobs", "Polls", "finished polls", "/s", 150),
    Main(
        "jobs",
        "Jobs through the whole pipeline",
        "Whole pipeline",
        "jobs",
        "/s",
        20,
        "the analyser alone",
        "the analyser alone",
    ),
    Main(
        "submit to done",
        "Submit to done at 5 jobs/s, p50",
        "Submit to done",
        "p50",
        "ms",
        400,
        "inside the analyser, p50",
        "inside the analyser",
        less_is_better=True,
    ),
    Main("burst", "500 at once: all done", "Burst", "all done", "s", 45, less_is_better=True),
)


def remember(run: Run) -> None:
    """Add a run to the history."""
    with HISTORY.open("a") as file:
        file.write(json.dumps(_line(run)) + "\n")


def _line(run: Run) -> dict[str, Any]:
    figures = {}
    for main in MAIN:
        for key, label in ((main.key, main.label), (f"{main.key}: yardstick", main.yardstick)):
            figure = run.figure(main.measure, label) if label else None
            if figure is not None:
                figures[key] = round(figure.median, 4)
    return {"date": run.date, "commit": run.commit, "machine": run.machine, "figures": figures}


@dataclass(frozen=True, slots=True)
class Line:
    """One run in the history; ``figures`` by the keys of MAIN, their yardsticks' as ``<key>: yardstick``."""

    date: str
    commit: str
    machine: dict[str, Any]
    figures: dict[str, float]


def history() -> list[Line]:
    """All runs, the earliest first."""
    lines = HISTORY.read_text().splitlines() if HISTORY.exists() else []
    return sorted((Line(**json.loads(line)) for line in lines), key=lambda line: line.date)


def main() -> None:
    """Add the run that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.history", description="Remember a run.")
    parser.add_argument("run", type=Path, help="its JSON")
    parser.add_argument("--commit", help="what it measured, where the JSON does not say")
    wanted = parser.parse_args()
    run = read(wanted.run)
    run.commit = wanted.commit or run.commit
    remember(run)


if __name__ == "__main__":
    main()
