"""What a run found: figures with their repetitions, targets met or missed, as a table and as JSON."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured once or several times."""

    label: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the repetitions."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the range, as a share of the median; 0 for one value."""
        return (max(self.values) - min(self.values)) / 2 / abs(self.median) if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """What was to be reached, and what was."""

    text: str
    value: float
    met: bool


def at_least(text: str, value: float, bound: float) -> Target:
    """A target that is met from ``bound`` on."""
    return Target(text, value, value >= bound)


def at_most(text: str, value: float, bound: float) -> Target:
    """A target that is met up to ``bound``."""
    return Target(text, value, value <= bound)


@dataclass(slots=True)
class Measure:
    """One line of questions: figures taken in turns in the same minutes.

    ``failures`` say why it is not to be trusted, or not whole; ``seconds`` is how long it took.
    """

    name: str
    setting: str = ""
    figures: list[Figure] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, label: str, unit: str, *values: float) -> Figure:
        """Note a figure."""
        figure = Figure(label, unit, values)
        self.figures.append(figure)
        return figure


@dataclass(slots=True)
class Run:
    """A run: when (ISO 8601, UTC), of which commit, on what machine, and what came of it."""

    date: str
    commit: str
    machine: dict[str, Any]
    measures: list[Measure]

    def figure(self, measure: str, label: str) -> Figure | None:
        """The figure of that name, if there is one."""
        return next((f for m in self.measures if m.name == measure for f in m.figures if f.label == label), None)

    def target(self, text: str) -> Target | None:
        """The target of that text, if there is one."""
        return next((target for measure in self.measures for target in measure.targets if target.text == text), None)

    @property
    def failed(self) -> bool:
        """Whether a measure of it is not to be trusted, or not whole."""
        return any(measure.failures for measure in self.measures)


def write(run: Run, path: Path) -> None:
    """Write a run for :func:`read`, and for other programs."""
    path.write_text(json.dumps(asdict(run), indent=1) + "\n")


def read(path: Path) -> Run:
    """A run that was written; one without a date has that in the name of its file."""
    run = json.loads(path.read_text())
    measures = [
        Measure(
            **{
                **measure,
                "figures": [Figure(f["label"], f["unit"], tuple(f["values"])) for f in measure["figures"]],
                "targets": [Target(**target) for target in measure["targets"]],
            }
        )
        for measure in run["measures"]
    ]
    return Run(run.get("date", path.stem), run.get("commit", ""), run["machine"], measures)


def as_markdown(run: Run, base: Run | None = None) -> str:
    """The whole run for people; with the change against ``base`` where that knows the figure."""
    lines = [", ".join(f"{name}: {value}" for name, value in run.machine.items()), ""]
    for measure in run.measures:
        lines += [f"### {measure.name}", "", f"{measure.setting} ({measure.seconds:.0f} s)", ""]
        lines += [f"**Failed**: {failure}\n" for failure in measure.failures]
        lines += figures_table(measure, base)
        lines += ["", *(target_line(target) for target in measure.targets), ""]
    return "\n".join(lines)


def figures_table(measure: Measure, base: Run | None) -> Sequence[str]:
    """The measure's figures as rows; with those of ``base``, where it has them, before."""
    lines = [
        f"| |{' before |' if base else ''} median | spread |{' change |' if base else ''}",
        f"|---|{'---:|' if base else ''}---:|---:|{'---:|' if base else ''}",
    ]
    for figure in measure.figures:
        before = base.figure(measure.name, figure.label) if base else None
        row = f"| {figure.label} |"
        if base:
            row += f" {number(before.median)} {before.unit} |" if before else " |"
        row += f" {number(figure.median)} {figure.unit} | ±{figure.spread:.0%} |"
        if base:
            row += f" {figure.median / before.median - 1:+.0%} |" if before and before.median else " |"
        lines.append(row)
    return lines


def target_line(target: Target) -> str:
    """A target and what was reached, as an item of a list."""
    return f"- {'met' if target.met else '**missed**'}: {target.text}: {number(target.value)}"


def number(value: float) -> str:
    """As many digits as say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
