"""Writes the figures into ``docs/performance.md``, between its markers, and draws the history beside it.

``python -m tests.benchmarks.page [BEFORE.json] AFTER.json``: the files are those of two runs, or of one.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.history import history
from tests.benchmarks.picture import picture
from tests.benchmarks.results import Run, Target, figures_table, number, read
from tests.benchmarks.system import ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "pictures" / "performance.svg"
BEGIN, END = "<!-- figures: written by tests.benchmarks.page -->\n", "<!-- end of the figures -->"


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN.json", help="the run before, if any, and the run")
    wanted = parser.parse_args()
    if len(wanted.runs) > 2:
        parser.error("name one run, or the one before and the one after")
    *before, after = map(read, wanted.runs)
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(head + BEGIN + "\n".join(_lines(before[0] if before else None, after)) + "\n" + END + tail)
    if lines := history():
        PICTURE.write_text(picture(lines))


def _lines(before: Run | None, after: Run) -> Sequence[str]:
    lines = [", ".join(f"{name}: {value}" for name, value in after.machine.items()) + ".", ""]
    lines += [f"{'Before: ' + _named(before) + '; after' if before else 'Measured'}: {_named(after)}.", ""]
    if seconds := sum(measure.seconds for measure in after.measures):
        lines += [f"It took {seconds / 60:.0f} minutes, without the start of the servers.", ""]
    lines += [f"| target |{' before |' if before else ''} measured | |", f"|---|{'---:|' if before else ''}---:|---|"]
    for measure in after.measures:
        for target in measure.targets:
            earlier = before.target(target.text) if before else None
            lines.append(
                f"| {measure.name}: {target.text} |{f' {_value(earlier)} |' if before else ''} {_value(target)} | "
                f"{'met' if target.met else '**missed**'} |"
            )
    for measure in after.measures:
        took = f" Took {measure.seconds:.0f} s." if measure.seconds else ""
        lines += ["", f"### {measure.name}", "", f"{measure.setting[:1].upper()}{measure.setting[1:]}.{took}", ""]
        lines += [f"**Failed**: {failure}.\n" for failure in measure.failures]
        lines += figures_table(measure, before)
    return lines


def _named(run: Run) -> str:
    remembered = next((line.commit for line in history() if line.date == run.date), "")
    return f"{run.commit or remembered or 'an unnamed commit'}, {run.date[:10]}"


def _value(target: Target | None) -> str:
    return "" if target is None else number(target.value)


if __name__ == "__main__":
    main()
