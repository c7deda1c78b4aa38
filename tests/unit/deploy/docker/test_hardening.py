"""What the images and the compose file promise: little inside, few rights, nothing published but the gateway."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import GatewaySettings
from services.analysis.settings import AnalysisSettings
from services.auth.settings import AuthSettings
from services.chassis.settings import ServiceSettings
from services.tasks.settings import TasksSettings

ROOT = Path(__file__).parents[4]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
OURS = ("gateway", "auth", "tasks", "analysis")
SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "auth": AuthSettings,
    "tasks": TasksSettings,
    "analysis": AnalysisSettings,
}
STORES = ("mysql", "mongo", "rabbitmq")


@pytest.mark.parametrize("name", OURS)
def test_a_service_can_write_nothing_and_has_no_rights(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "volumes" not in service


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_a_service_reaches_its_container(name: str) -> None:
    of_the_image = {"HOST", "PORT", "METRICS_PORT"}
    known = {field.upper() for field in SETTINGS[name].model_fields}
    of_the_proxy = {"HTTPS_PROXY", "NO_PROXY"} if "oidc_issuers" in SETTINGS[name].model_fields else set()
    assert set(COMPOSE["services"][name]["environment"]) == known - of_the_image | of_the_proxy


@pytest.mark.parametrize("name", [*OURS, *STORES])
def test_no_log_of_a_container_fills_the_disk(name: str) -> None:
    assert set(COMPOSE["services"][name]["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", [*OURS, *STORES])
def test_a_container_has_a_bound_on_memory_and_processes(name: str) -> None:
    assert re.fullmatch(r"\d+[mg]", COMPOSE["services"][name]["mem_limit"])
    assert COMPOSE["services"][name]["pids_limit"] > 0


def test_only_the_gateway_is_published_and_the_stores_reach_nobody() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["gateway"]
    for name in STORES:
        assert {COMPOSE["networks"][network]["internal"] for network in COMPOSE["services"][name]["networks"]} == {True}
    assert not on_a_network_with("gateway") & set(STORES)


def test_analysis_meets_tasks_and_the_broker_only_and_has_no_way_out() -> None:
    assert on_a_network_with("analysis") == {"tasks", "rabbitmq"}
    (network,) = COMPOSE["services"]["analysis"]["networks"]
    assert COMPOSE["networks"][network]["internal"] is True


def on_a_network_with(name: str) -> set[str]:
    """The other containers that it could reach."""
    networks = set(COMPOSE["services"][name]["networks"])
    return {other for other, service in COMPOSE["services"].items() if networks & set(service["networks"])} - {name}


def test_no_secret_has_a_value_in_the_compose_file() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASS|TOKEN$|KEYS|_URL", name) and re.search(
                r"//[^/]*:[^/]*@|PASS|TOKEN|KEYS", f"{name}={value}"
            ):
                assert re.search(r"\$\{[A-Z_]+:\?", value), f"{name} does not come from the environment"


@pytest.mark.parametrize("name", OURS)
def test_an_image_holds_its_code_compiled(name: str) -> None:
    stage = re.search(rf"^FROM base AS {name}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage is not None
    *_, last_copy = re.finditer(r"^COPY .*\n", stage.group(1), re.MULTILINE)
    assert stage.group(1)[last_copy.end() :].startswith("RUN python -m compileall -q .\nUSER ")


@pytest.mark.parametrize("name", OURS)
def test_an_image_runs_as_nobody_and_without_a_shell(name: str) -> None:
    stage = re.search(rf"^FROM base AS {name}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage is not None
    user = re.findall(r"^USER (\d+):(\d+)$", stage.group(1), re.MULTILINE)
    assert user
    assert all(int(number) > 0 for number in user[-1])
    assert re.search(r'^CMD \["python", ', stage.group(1), re.MULTILINE)
    assert not re.search(r"^(ADD|ENV|ARG)\b", stage.group(1), re.MULTILINE)
    check = COMPOSE["services"][name]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "python"]


def test_the_base_image_is_named_from_outside() -> None:
    assert DOCKERFILE.count("FROM ${PYTHON_IMAGE}") == 1
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 1 + len(OURS)


def test_only_what_is_listed_gets_into_an_image() -> None:
    first, *others = (ROOT / ".dockerignore").read_text().split()
    assert first == "*"
    assert {line for line in others if line.startswith("!")} == {
        "!contracts",
        "!deploy/docker/install.sh",
        "!gateway",
        "!locks",
        "!services",
    }
    assert others[-2:] == ["**/__pycache__", "**/.env*"]


@pytest.mark.parametrize("lock", sorted((ROOT / "locks").glob("*.txt")), ids=lambda lock: lock.stem)
def test_every_package_is_locked_with_its_hashes(lock: Path) -> None:
    text = lock.read_text()
    packages = re.split(r"\n(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==", package), package
        assert "--hash=sha256:" in package, package
    assert "--require-hashes" in (ROOT / "deploy/docker/install.sh").read_text()
