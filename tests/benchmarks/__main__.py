"""The command: ``python -m tests.benchmarks [measure …] [--base FILE] [--repetitions N] [--seconds S]``.

Prints the table, writes ``out/bench/<time>.json`` and ``.md``. Needs Docker, and a machine that does nothing else.
"""

import argparse
import datetime
import os
import platform
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks.measures import Bench
from tests.benchmarks.results import as_json, as_markdown, read
from tests.benchmarks.system import ROOT, system


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure the whole system.")
    parser.add_argument("measures", nargs="*", help="their names; by default all")
    parser.add_argument("--base", type=Path, help="an earlier run's JSON, to compare with")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each repetition")
    chosen = parser.parse_args()
    folder = ROOT / "out" / "bench"
    base = read(chosen.base) if chosen.base else {}
    with system(folder / "logs") as running:
        measures = uvloop.run(Bench(running, chosen.repetitions, chosen.seconds).run(frozenset(chosen.measures)))
    machine = _machine()
    name = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H%M%S")
    (folder / f"{name}.json").write_text(as_json(machine, measures))
    table = as_markdown(machine, measures, base)
    (folder / f"{name}.md").write_text(table)
    print(table)  # noqa: T201
    print(f"Written to {folder / name}.json")  # noqa: T201


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
    main()
