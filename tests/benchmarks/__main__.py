"""The command: ``python -m tests.benchmarks [measure …] [--base FILE] [--repetitions N] [--seconds S]``.

Writes ``out/bench/<time>.json`` and ``.md`` after every measure, so that nothing is lost when one fails or somebody
interrupts; prints the table at the end. Ends with status 1 when a measure failed. A run of all measures at full length
is added to the history that ``docs/performance.md`` shows. Needs Docker, and a machine that does nothing else.
"""

import argparse
import datetime
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks.history import remember
from tests.benchmarks.measures import MEASURES, REPETITIONS, SECONDS, Bench
from tests.benchmarks.results import Measure, Run, as_markdown, read, write
from tests.benchmarks.system import ROOT, system

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure the whole system.")
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"of {', '.join(MEASURES)}; by default all")
    parser.add_argument("--base", type=Path, help="an earlier run's JSON, to compare with")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each repetition")
    wanted = parser.parse_args()
    if unknown := set(wanted.measures) - MEASURES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(MEASURES)}")
    chosen = [name for name in MEASURES if not wanted.measures or name in wanted.measures]
    base = read(wanted.base) if wanted.base else None
    folder = ROOT / "out" / "bench"
    began = datetime.datetime.now(datetime.UTC)
    run = Run(began.isoformat(timespec="seconds"), _commit(), _machine(), [])
    path = folder / f"{began:%Y-%m-%dT%H%M%S}.json"

    def note(measures: list[Measure]) -> None:
        run.measures = measures
        write(run, path)
        path.with_suffix(".md").write_text(as_markdown(run, base))

    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # so that containers are stopped too
    try:
        with system(folder / "logs") as running:
            uvloop.run(Bench(running, wanted.repetitions, wanted.seconds).run(chosen, note))
    except KeyboardInterrupt:
        sys.stderr.write(f"Interrupted. What there is, is in {path}\n" if run.measures else "Interrupted.\n")
        return INTERRUPTED
    sys.stdout.write(f"{as_markdown(run, base)}\nWritten to {path}\n")
    whole = len(chosen) == len(MEASURES) and wanted.repetitions >= REPETITIONS and wanted.seconds >= SECONDS
    if whole and not run.failed:
        remember(run)
    return FAILED if run.failed else 0


def _commit() -> str:
    """The commit that is measured, with a + when files were changed since; empty outside of a repository."""
    try:
        named = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"],  # noqa: S607 - whichever git there is
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return named.stdout.strip()


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    return {
        "processor": next(models, platform.machine()),
        "cores": os.cpu_count(),
        "memory": f"{memory:.0f} GiB",
        "Python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
