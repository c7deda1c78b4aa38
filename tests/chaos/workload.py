"""Phones that behave like the app, and write down what they did and were told.

One does one thing after another: it signs in, submits small photos, polls its job, submits several tasks in a row or
one anew, changes its profile. Now and then its owner gets another e-mail address, and signs in with that. A request
that fails or is not answered in time is repeated with the same task id and the same bytes, and given up after a few
times. Now and then it asks for what belongs to somebody else.
"""

# ruff: noqa: S311 - chance must follow from the seed

import asyncio
import base64
import hashlib
import io
import json
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from PIL import Image

from tests.chaos.history import Event, History
from tests.e2e.app import BOUNDARY, multipart, task
from tests.e2e.issuer import Issuer

REQUEST_SECONDS = 20.0  # as the app
JOB_SECONDS = 45.0  # as the app
POLL_SECONDS = (0.5, 1.5)
ATTEMPTS = 4
ENDS = ("done", "error")


def digest(data: bytes) -> str:
    """A photo's name in the history."""
    return hashlib.sha256(data).hexdigest()


def picture(data: bytes) -> str:
    """The name of what a photo shows: the same for a copy without what it says of people and places."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return digest(image.tobytes())
    except OSError:
        return "no picture"


class Camera:
    """Takes photos: real JPEGs, each different from every other, most small and few of several GridFS chunks."""

    def __init__(self, seed: int, scenes: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._scenes = scenes

    def pair(self) -> list[tuple[str, bytes]]:
        """A colour photo and, mostly, a thermal one, named as the app names them."""
        names = ("obs0_rgb.jpg", "obs0_thermal.jpg")
        if self._scenes:
            return [(n, self._signed(photo)) for n, photo in zip(names, self._rng.choice(self._scenes), strict=True)]
        photos = [(name, self._jpeg(640, 480) if self._rng.random() < 0.03 else self._jpeg(16, 12)) for name in names]
        return photos if self._rng.random() < 0.8 else photos[:1]

    def _jpeg(self, width: int, height: int) -> bytes:
        buffer = io.BytesIO()
        pixels = self._noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    def _signed(self, jpeg: bytes) -> bytes:
        """The photo with a comment of its own, right after the marker that begins a JPEG."""
        comment = self._rng.randbytes(16)
        return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


@dataclass
class Phone:
    """One client with an account of its own."""

    number: int
    url: str
    issuer: Issuer
    history: History
    rng: random.Random
    camera: Camera
    neighbours: "list[Phone]" = field(default_factory=list)
    request_seconds: float = REQUEST_SECONDS
    tasks: list[str] = field(default_factory=list)
    last_job: tuple[str, str] | None = None  # task and job
    _bearer: str | None = None
    _zip: int = 0
    _moves: int = 0

    @property
    def uid(self) -> str:
        """Whose phone it is: the address of the first sign-in, which is the account's id from then on."""
        return f"person-{self.number}@example.com"

    @property
    def address(self) -> str:
        """The address that this person has now."""
        return f"person-{self.number}-{self._moves}@example.com" if self._moves else self.uid

    async def use(self) -> None:
        """Go on until cancelled."""
        while True:
            await self._one_thing()
            await asyncio.sleep(self.rng.uniform(0.05, 0.4))

    async def _one_thing(self) -> None:
        if self._bearer is None and not await self.sign_in():
            await asyncio.sleep(self.rng.uniform(0.5, 1.5))
            return
        dice = self.rng.random()
        if dice < 0.02:
            self._moves, self._bearer = self._moves + 1, None
        elif dice < 0.2:
            await self.update_profile()
        elif dice < 0.25:
            await self._pry()
        elif dice < 0.3:
            await self._submit_several()
        elif dice < 0.4 and self.tasks:
            await self.submit_and_follow(self.rng.choice(self.tasks[-5:]))
        else:
            await self.submit_and_follow(str(uuid.UUID(int=self.rng.getrandbits(128), version=4)))

    async def sign_in(self) -> bool:
        """Log in with a Google token; whether that went well."""
        token = self.issuer.token(self.address, sub=f"subject-of-{self.uid}")
        body = {"id_token": token, "uid": self.address}
        event, data = await self._request("login", "POST", "/auth/login", json.dumps(body).encode(), {})
        if event.get("status") == 200:
            self._bearer = json.loads(data)["access_token"]
        return event.get("status") == 200

    async def update_profile(self) -> None:
        """Write a ZIP code that was never written before; once more when that fails."""
        self._zip += 1
        code = f"{self._zip:05d}"
        body = json.dumps({"userID": self.address, "zip": code}).encode()
        for _ in range(2):
            event, _ = await self._request("profile", "POST", "/auth/update_profile", body, {"zip": code})
            if event.get("status") == 200:
                return
            await asyncio.sleep(self.rng.uniform(0.5, 2))

    async def submit_and_follow(self, task_id: str) -> str | None:
        """Submit photos, with repetitions, and poll the job for as long as the app does; the job, if it was taken."""
        if task_id not in self.tasks:
            self.tasks.append(task_id)
        photos = self.camera.pair()
        for _ in range(ATTEMPTS):
            job = await self.submit(task_id, photos)
            if job is not None:
                self.last_job = (task_id, job)
                await self._follow(task_id, job)
                return job
            await asyncio.sleep(self.rng.uniform(0.5, 2.5))
        return None

    async def _submit_several(self) -> None:
        """Submit new tasks one after the other, so that jobs wait for their turn, and then follow all of them."""
        jobs = []
        for _ in range(self.rng.randint(2, 4)):
            task_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            self.tasks.append(task_id)
            job = await self.submit(task_id, self.camera.pair())
            if job is not None:
                jobs.append((task_id, job))
        for task_id, job in jobs:
            await self._follow(task_id, job)

    async def submit(self, task_id: str, photos: list[tuple[str, bytes]]) -> str | None:
        """Submit once; the job when it was answered 200."""
        body = multipart({"uid": self.address, "task_json": json.dumps(task(task_id))}, photos)
        facts = {"task": task_id, "photos": [[name, digest(data), picture(data)] for name, data in photos]}
        event, _ = await self._request("submit", "POST", "/leakage/detect_leak", body, facts)
        return event.get("job")

    async def _follow(self, task_id: str, job: str) -> None:
        end = time.monotonic() + JOB_SECONDS
        while time.monotonic() < end:
            event = await self.poll(task_id, job)
            if event.get("state") in ENDS:
                return
            await asyncio.sleep(self.rng.uniform(*POLL_SECONDS))

    async def poll(self, task_id: str, job: str) -> Event:
        """Ask how far a job is."""
        event, _ = await self._request(
            "poll", "GET", f"/leakage/detect_leak/{job}", None, {"task": task_id, "job": job}
        )
        return event

    async def _pry(self) -> None:
        """Ask for a neighbour's job, or submit a task of his."""
        known = [phone.last_job for phone in self.neighbours if phone is not self and phone.last_job]
        if not known:
            return
        task_id, job = self.rng.choice(known)
        if self.rng.random() < 0.5:
            await self._request("pry", "GET", f"/leakage/detect_leak/{job}", None, {"pried": task_id})
        else:
            body = multipart({"uid": self.address, "task_json": json.dumps(task(task_id))}, self.camera.pair())
            await self._request("pry", "POST", "/leakage/detect_leak", body, {"pried": task_id})

    async def _request(
        self, kind: str, method: str, path: str, body: bytes | None, facts: dict[str, Any]
    ) -> tuple[Event, bytes]:
        """One request on a connection of its own; what was written down of its end, and the answer's body."""
        op = self.history.next_op()
        facts = {"op": op, "user": self.uid, **facts}
        self.history.write("ask", kind, **facts)
        headers = {"user-agent": "Dart/3.5 (dart:io)"}
        if method == "POST":
            multi = kind in ("submit", "pry")
            headers["content-type"] = f"multipart/form-data; boundary={BOUNDARY}" if multi else "application/json"
        if self._bearer and kind != "login":
            headers["authorization"] = f"Bearer {self._bearer}"
        started = time.monotonic()
        try:
            timeout = aiohttp.ClientTimeout(total=self.request_seconds)
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.request(method, self.url + path, data=body, headers=headers) as answer,
            ):
                data = await answer.read()
                said = {"status": answer.status, **_said(kind, answer.status, data)}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return self.history.write("unknown", kind, **facts, error=type(error).__name__), b""
        except asyncio.CancelledError:
            self.history.write("unknown", kind, **facts, error="the run ended")
            raise
        if answer.status == 401 and kind != "login":
            self._bearer = None
        return self.history.write("answer", kind, **facts, ms=round((time.monotonic() - started) * 1e3), **said), data


def _said(kind: str, status: int, data: bytes) -> Event:
    """What the checker needs of an answer."""
    try:
        value = json.loads(data)
    except ValueError:
        return {"body": data[:200].decode(errors="replace")}
    if status != 200:
        return {"detail": str(value.get("detail"))[:200]} if isinstance(value, dict) else {}
    if kind == "submit":
        return {"job": value["jobId"]}
    if kind != "poll":
        return {}
    said: Event = {"state": value["status"]}
    if value["status"] == "error":
        said["reason"] = value["error"]
    elif value["status"] == "done":
        said["report_task"] = value["report"]["taskID"]
        said["report"] = digest(json.dumps(value["report"], sort_keys=True).encode())
        said["image"] = picture(base64.b64decode(value["image"]["data"])) if value["image"] else None
    return said
