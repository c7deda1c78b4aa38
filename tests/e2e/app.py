"""The mobile app as the backend meets it: its requests byte by byte, as Dart's ``http`` package writes them."""

import base64
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

JOB_SECONDS = 45.0  # the app gives up after it; on a busy test machine too, this is the promise
POLL_SECONDS = 0.3
# Dart's boundary: "dart-http-boundary-" and random characters, 70 in all.
BOUNDARY = "dart-http-boundary-" + "aB3_-x.Y7+Qz." * 3 + "0123456789ab"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class App:
    """One phone. ``bearer`` is sent as newer builds send it; the published build sends none.

    ``headers`` are more of them, for somebody who only claims to be a phone.
    """

    url: str
    uid: str
    bearer: str | None = None
    prefixed: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str | None = None) -> Answer:
        """One request on a connection of its own."""
        parts = urlsplit(self.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        headers = {"user-agent": "Dart/3.5 (dart:io)", "accept-encoding": "gzip", **self.headers}
        if content_type:
            headers["content-type"] = content_type
        if self.bearer:
            headers["Authorization"] = f"Bearer {self.bearer}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def _path(self, prefix: str, path: str) -> str:
        return f"{prefix}{path}" if self.prefixed else path

    def post_json(self, path: str, value: object) -> Answer:
        """POST JSON as the app does."""
        return self.request("POST", path, json.dumps(value).encode(), "application/json; charset=utf-8")

    def login(self, id_token: str, uid: str | None = None) -> Answer:
        """Sign in."""
        return self.post_json(self._path("/auth", "/login"), {"id_token": id_token, "uid": uid or self.uid})

    def update_profile(self, **fields: object) -> Answer:
        """Change the profile."""
        return self.post_json(self._path("/auth", "/update_profile"), {"userID": self.uid, **fields})

    def submit(self, task: dict[str, Any], photos: Sequence[tuple[str, bytes]], uid: str | None = None) -> Answer:
        """Submit a task with photos given as (file name, bytes)."""
        return self.submit_raw(json.dumps(task, ensure_ascii=False), photos, uid)

    def submit_raw(self, task_json: str, photos: Sequence[tuple[str, bytes]], uid: str | None = None) -> Answer:
        """The same with any text as ``task_json``."""
        body = multipart({"uid": uid or self.uid, "task_json": task_json}, photos)
        path = self._path("/leakage", "/detect_leak")
        return self.request("POST", path, body, f"multipart/form-data; boundary={BOUNDARY}")

    def poll(self, job_id: str) -> Answer:
        """Ask how far a job is."""
        return self.request("GET", self._path("/leakage", f"/detect_leak/{job_id}"))

    def wait(self, job_id: str, seconds: float = JOB_SECONDS) -> dict[str, Any]:
        """Poll until the job has ended, as the app does; the last answer."""
        seen: list[str] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.poll(job_id)
            assert answer.status == 200, answer.body
            state: dict[str, Any] = answer.json()
            if state["status"] not in seen:
                seen.append(state["status"])
            if state["status"] in ("done", "error"):
                return state
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"the job has not ended within {seconds} s; seen: {seen}")


def multipart(fields: dict[str, str], photos: Sequence[tuple[str, bytes]]) -> bytes:
    """A form as ``package:http`` writes it: lower-case header names, fields first, every file an octet stream."""
    lines: list[bytes] = []
    for name, value in fields.items():
        lines.append(f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"'.encode())
        if not value.isascii():
            lines.append(b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-transfer-encoding: binary")
        lines.append(b"\r\n\r\n" + value.encode() + b"\r\n")
    for number, (name, data) in enumerate(photos):
        lines.append(
            f"--{BOUNDARY}\r\ncontent-type: application/octet-stream\r\ncontent-disposition: form-data; "
            f'name="media{number}"; filename="{name}"\r\n\r\n'.encode()
        )
        lines.append(data + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def task(task_id: str | None = None, **values: Any) -> dict[str, Any]:
    """``task_json`` as the app writes it, before it is encoded."""
    task_id = task_id or str(uuid.uuid4())
    return {
        "id": task_id,
        "title": "North window",
        "photoPaths": [f"media/{task_id}/obs0_rgb.jpg", f"media/{task_id}/obs0_thermal.jpg"],
        "createdAt": "2025-08-08T17:12:15.011967",
        "type": "window",
        "state": "draft",
        "decision": None,
        "closedResult": None,
        "analysisSummary": None,
        "recommendations": None,
        "insideTemp": "71",
        "outsideTemp": "35",
        "report": None,
        **values,
    }


def image_of(state: dict[str, Any]) -> bytes:
    """The bytes of a finished job's image."""
    return base64.b64decode(state["image"]["data"], validate=True)
