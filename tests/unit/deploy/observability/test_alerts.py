"""The alert rules name metrics that the code has and entries that the runbook has, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import GatewaySettings
from services.analysis.settings import AnalysisSettings
from services.auth.settings import AuthSettings
from services.chassis.metrics import Metrics
from services.tasks.settings import TasksSettings

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
OBSERVABILITY = ROOT / "deploy" / "observability"

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])

# What Prometheus says itself of each target.
BUILT_IN = {"up": {"job", "instance"}}
WORDS = {"sum", "max", "rate", "increase", "absent", "and", "or", "unless", "by", "offset"}


def exposed() -> dict[str, set[str]]:
    """Every series that a process of ours exposes, with its labels."""
    found = dict(BUILT_IN)
    for collector in vars(Metrics).get("__slots__", ()):
        metric = getattr(Metrics(), collector)
        for family in getattr(metric, "describe", list)():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            for suffix in suffixes:
                found[family.name + suffix] = set(metric._labelnames)
    return found


def used(expression: str) -> dict[str, set[str]]:
    """Every series in a PromQL expression, with the labels that it is chosen by."""
    outside = re.sub(r"\b(by|on|without) \([^)]*\)|\[[^]]*\]|offset \w+", " ", expression)
    series = re.findall(r"([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?", re.sub(r"(?<=[\s>])[\d.]+", " ", outside))
    return {name: set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)) for name, chosen in series if name not in WORDS}


def entries(runbook: str) -> set[str]:
    """The anchors that the headings of a Markdown text get."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", runbook, re.MULTILINE)
    }


@each_rule
def test_every_metric_of_an_alert_exists_with_its_labels(rule: dict[str, Any]) -> None:
    known, named = exposed(), used(rule["expr"])
    assert named
    for name, labels in named.items():
        assert name in known, f"{name} is exposed by nobody"
        assert labels <= known[name], f"{name} has no label {labels - known[name]}"


@each_rule
def test_every_alert_says_how_urgent_it_is_and_leads_to_a_runbook_entry(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in entries((ROOT / path).read_text())


def test_every_service_is_scraped_on_its_metrics_port() -> None:
    configured = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {(job["job_name"], *find["names"], find["port"]) for job in configured for find in job["dns_sd_configs"]}
    settings = {"gateway": GatewaySettings, "auth": AuthSettings, "tasks": TasksSettings, "analysis": AnalysisSettings}
    assert scraped == {(name, name, its.model_fields["metrics_port"].default) for name, its in settings.items()}
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert settings.keys() == {name for name, service in composed.items() if "build" in service}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (of Prometheus) is not installed")
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    for arguments in (
        ("check", "config", str(OBSERVABILITY / "prometheus.yml")),
        ("test", "rules", str(HERE / "alerts_test.yaml")),
    ):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603, S607
        assert done.returncode == 0, done.stdout + done.stderr
