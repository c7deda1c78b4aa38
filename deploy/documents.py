"""The documents that are made from the code: ``contracts/`` (schemas, asyncapi, openapi), and the table of settings.

``python -m deploy.documents`` writes them (``make contracts``); a contract test compares them. It stands here
because only deploy may import every service.
"""

import base64
import json
import secrets
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from contracts.events import EVENTS, Envelope
from contracts.topology import EXCHANGE, SUBSCRIPTIONS
from contracts.version import VERSION
from deploy.embedded.settings import EmbeddedSettings
from gateway.app import create_app as create_gateway
from gateway.documentation import merged_openapi
from gateway.settings import GatewaySettings
from services.analysis.settings import AnalysisSettings
from services.auth.app import create_app as create_auth
from services.auth.settings import AuthSettings
from services.chassis.messaging.local import LocalBroker
from services.chassis.metrics import Metrics
from services.chassis.settings import ServiceSettings, load
from services.tasks.app import create_app as create_tasks
from services.tasks.photos.files import FilePhotos
from services.tasks.settings import TasksSettings

ROOT = Path(__file__).parents[1]
NOTE = "# Made from the code by `make contracts`; change the code, not this file.\n"


def documents() -> dict[str, str]:
    """Each document's path from the root, and its text."""
    schemas = {f"contracts/schemas/{event.TYPE}.json": _json(event.model_json_schema()) for event in EVENTS}
    return {
        **schemas,
        "contracts/schemas/envelope.json": _json(Envelope.model_json_schema()),
        "contracts/asyncapi.yaml": _yaml(_asyncapi()),
        "contracts/openapi.yaml": _yaml(_openapi()),
        "docs/settings.md": _settings(),
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _yaml(document: dict[str, Any]) -> str:
    return NOTE + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0: the exchange, what is published to it, and which queue hears of what."""
    names = {event: event.__name__ for event in EVENTS}
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Home energy audit: events",
            "version": VERSION,
            "description": "CloudEvents 1.0 in JSON on one topic exchange; the routing key is the event's type. "
            "Delivery is at least once, in no particular order. Within a version only fields are added.",
        },
        "channels": {
            names[event]: {
                "address": event.TYPE,
                "messages": {names[event]: {"$ref": f"#/components/messages/{names[event]}"}},
                "bindings": {
                    "amqp": {"is": "routingKey", "exchange": {"name": EXCHANGE, "type": "topic", "durable": True}}
                },
            }
            for event in EVENTS
        },
        "operations": {
            **{
                f"publish{names[event]}": {
                    "action": "send",
                    "channel": {"$ref": f"#/channels/{names[event]}"},
                    "summary": f"{event.SOURCE}: {_first_line(event.__doc__)}",
                }
                for event in EVENTS
            },
            **{
                f"{subscription.queue}.{names[event]}": {
                    "action": "receive",
                    "channel": {"$ref": f"#/channels/{names[event]}"},
                    "summary": f"Queue {subscription.queue}; retried after {subscription.retry_delays} s, then "
                    f"in {subscription.dead_queue}.",
                }
                for subscription in SUBSCRIPTIONS
                for event in subscription.events
            },
        },
        "components": {
            "messages": {
                names[event]: {
                    "name": event.TYPE,
                    "contentType": "application/cloudevents+json",
                    "summary": _first_line(event.__doc__),
                    "payload": {
                        "allOf": [
                            {"$ref": "schemas/envelope.json"},
                            {"properties": {"data": {"$ref": f"schemas/{event.TYPE}.json"}}},
                        ]
                    },
                }
                for event in EVENTS
            }
        },
    }


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().splitlines()[0]


def _openapi() -> dict[str, Any]:
    """The public API. The apps are made, not started, so that nothing that the settings name is touched."""
    common = {
        "google_client_ids": ("documentation",),
        "auth_url": "http://auth",
        "tasks_url": "http://tasks",
        "rabbitmq_url": "in-process",
        "sql_url": "sqlite://",
        "mongo_url": "mongodb://mongo/",
        "service_token": secrets.token_hex(32),
        "access_token_keys": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    metrics = Metrics()

    def broker() -> LocalBroker:
        return LocalBroker(Path("events.sqlite3"), metrics)

    apps = (
        create_auth(load(AuthSettings, **common), metrics, broker),
        create_tasks(load(TasksSettings, **common), metrics, broker, lambda: FilePhotos(Path("photos"))),
        create_gateway(load(GatewaySettings, **common), metrics),
    )
    return merged_openapi([app.openapi() for app in apps])


def _settings() -> str:
    """One table of every setting of every process."""
    classes: dict[str, type[ServiceSettings]] = {
        "gateway": GatewaySettings,
        "auth": AuthSettings,
        "tasks": TasksSettings,
        "analysis": AnalysisSettings,
        "embedded": EmbeddedSettings,
    }
    rows: dict[str, dict[str, FieldInfo]] = {}
    for process, settings in classes.items():
        for name, field in settings.model_fields.items():
            rows.setdefault(name, {})[process] = field
    lines = [_row(name.upper(), fields, len(classes)) for name, fields in rows.items()]
    return _SETTINGS_HEAD + "\n".join(lines) + "\n"


def _row(name: str, fields: dict[str, FieldInfo], processes: int) -> str:
    default = ", ".join(_said({process: _default(field) for process, field in fields.items()}))
    readers = "all" if len(fields) == processes else ", ".join(fields)
    meaning = "; ".join(_said({process: str(field.description) for process, field in fields.items()}))
    return f"| `{name}` | {readers} | {default} | {meaning} |"


def _said(of_processes: dict[str, str]) -> list[str]:
    """What is said of the processes, each thing once, and of which if it is not the same of all."""
    of_text: dict[str, list[str]] = {}
    for process, text in of_processes.items():
        of_text.setdefault(text, []).append(process)
    return [text if len(of_text) == 1 else f"{text} ({', '.join(who)})" for text, who in of_text.items()]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default in (None, ()):
        return "–"
    return f"`{field.default}`"


_SETTINGS_HEAD = """\
# Settings

<!-- Made from the code by `make contracts`. -->

Every process reads its settings from the environment, and refuses to start, with one line for all faults, when one is
missing or wrong. An empty variable counts as unset. `make run` ("embedded" below) sets everything that it needs by
itself; the other settings of the four services hold there too.

| variable | read by | default | meaning |
|---|---|---|---|
"""


def main() -> None:
    """Write every document, and remove schemas of events that are no more."""
    made = documents()
    for old in (ROOT / "contracts" / "schemas").glob("*.json"):
        if f"contracts/schemas/{old.name}" not in made:
            old.unlink()
    for name, text in made.items():
        path = ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
