"""The runbook's table of metrics is that of the code."""

import re
from pathlib import Path

from services.chassis.metrics import Metrics

ROOT = Path(__file__).parents[3]


def test_every_metric_stands_in_the_runbook_as_the_code_explains_it() -> None:
    metrics = Metrics()
    suffixes = {"counter": "_total"}  # as Prometheus reads them
    made = set()
    for name in Metrics.__slots__:
        metric = getattr(metrics, name)
        for family in getattr(metric, "describe", list)():
            labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "–"
            made.add(f"| `{family.name}{suffixes.get(family.type, '')}` | {labels} | {family.documentation} |")
    section = (ROOT / "docs" / "runbook.md").read_text().partition("\n## Metrics\n")[2].partition("\n# ")[0]
    assert set(re.findall(r"^\| `.*$", section, re.MULTILINE)) == made
    assert made
