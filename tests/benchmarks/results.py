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
        return (max(self.values) - min(self.values)) / 2 / self.median if self.median else 0.0


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
    """One line of questions: figures taken in turns in the same minutes."""

    name: str
    setting: str
    figures: list[Figure] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def add(self, label: str, unit: str, *values: float) -> Figure:
        """Note a figure."""
        figure = Figure(label, unit, values)
        self.figures.append(figure)
        return figure


def as_json(machine: dict[str, Any], measures: Sequence[Measure]) -> str:
    """A run for :func:`read`, and for other programs."""
    return json.dumps({"machine": machine, "measures": [asdict(measure) for measure in measures]}, indent=1) + "\n"


def read(path: Path) -> dict[tuple[str, str], float]:
    """The medians of an earlier run, by the names of measure and figure."""
    run = json.loads(path.read_text())
    return {
        (measure["name"], figure["label"]): statistics.median(figure["values"])
        for measure in run["measures"]
        for figure in measure["figures"]
    }


def as_markdown(machine: dict[str, Any], measures: Sequence[Measure], base: dict[tuple[str, str], float]) -> str:
    """The table for people; with the change against ``base`` where that knows the figure."""
    lines = [", ".join(f"{name}: {value}" for name, value in machine.items()), ""]
    for measure in measures:
        lines += [f"### {measure.name}", "", measure.setting, ""]
        lines += [
            f"| | median | spread |{' before | change |' if base else ''}",
            f"|---|---|---|{'---|---|' if base else ''}",
        ]
        for figure in measure.figures:
            row = f"| {figure.label} | {_number(figure.median)} {figure.unit} | ±{figure.spread:.0%} |"
            if base:
                before = base.get((measure.name, figure.label))
                row += f" {_number(before)} | {figure.median / before - 1:+.0%} |" if before else " | |"
            lines.append(row)
        lines.append("")
        lines += [
            f"- {'met' if target.met else '**missed**'}: {target.text}: {_number(target.value)}"
            for target in measure.targets
        ]
        lines.append("")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
