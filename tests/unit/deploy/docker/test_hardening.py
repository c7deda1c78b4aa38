"""What the images and the compose file promise: little inside, few rights, nothing published but the gateway."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.events import EVENTS
from contracts.topology import ANALYSIS_SUBMISSIONS, EXCHANGE, SUBSCRIPTIONS
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


def test_the_gateway_is_published_on_this_machine_only_unless_somebody_says_so() -> None:
    assert COMPOSE["services"]["gateway"]["ports"] == ["${PUBLISH_ADDRESS:-127.0.0.1}:${PORT:-8000}:8000"]


DEFINITIONS: dict[str, Any] = json.loads(COMPOSE["configs"]["rabbitmq-users"]["content"].replace("$$", "$"))


def test_each_service_has_a_user_of_its_own_at_the_broker_and_none_is_an_administrator() -> None:
    users = {user["name"]: user for user in DEFINITIONS["users"]}
    assert set(users) == {"${RABBITMQ_USER:-audit}", "auth", "analysis"}
    assert all(user["tags"] == [] for user in users.values())
    passwords = {user["password"].partition(":?")[0] for user in users.values()}
    assert passwords == {"${RABBITMQ_PASSWORD", "${RABBITMQ_AUTH_PASSWORD", "${RABBITMQ_ANALYSIS_PASSWORD"}
    for service in ("auth", "analysis"):
        url = COMPOSE["services"][service]["environment"]["RABBITMQ_URL"]
        assert f"amqp://{service}:${{RABBITMQ_{service.upper()}_PASSWORD:?" in url


@pytest.mark.parametrize("service", ["auth", "analysis"])
def test_a_service_may_publish_its_own_events_and_no_other(service: str) -> None:
    (topics,) = [each for each in DEFINITIONS["topic_permissions"] if each["user"] == service]
    assert topics["exchange"] == EXCHANGE
    allowed = {event for event in EVENTS if re.search(topics["write"], event.TYPE)}
    assert allowed == {event for event in EVENTS if f"/services/{service}" == event.SOURCE}


def test_analysis_may_read_and_move_what_is_in_its_own_queues_and_no_other() -> None:
    (rights,) = [each for each in DEFINITIONS["permissions"] if each["user"] == "analysis"]
    queues = {queue for subscription in SUBSCRIPTIONS for queue in subscription.queues}
    exchanges = {EXCHANGE, "amq.default", "", *(subscription.moves for subscription in SUBSCRIPTIONS)}
    mine = {ANALYSIS_SUBMISSIONS.queue, ANALYSIS_SUBMISSIONS.dead_queue}
    assert {name for name in queues | exchanges if re.search(rights["read"], name)} - {""} == mine
    assert {name for name in queues | exchanges if re.search(rights["write"], name)} == {
        EXCHANGE,
        ANALYSIS_SUBMISSIONS.moves,
    }
    assert not [name for name in queues | exchanges if re.search(rights["configure"], name) and name]


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
