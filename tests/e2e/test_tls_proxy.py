"""The nginx of deploy/proxy in front of the embedded backend: TLS outside, every client under its own address."""

import asyncio
import contextlib
import datetime
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.chassis.settings import AuthMode
from tests.e2e.app import BOUNDARY, multipart, task
from tests.e2e.conftest import Embedded
from tests.e2e.issuer import Issuer

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "proxy" / "nginx.conf"
NGINX = os.environ.get("NGINX_BINARY") or shutil.which("nginx")
NAME = "audit.example.org"
SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.1/32",
    "PUBLIC_NAMES": NAME,
    "LIMIT_LOGIN": "1/hour",
    "PEOPLE_PER_ADDRESS": "1",
}

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Door:
    """nginx, at the ports of this run."""

    port: int
    plain_port: int
    trusts: ssl.SSLContext
    issuer: Issuer
    mode: AuthMode

    async def ask(self, request: bytes, address: str = "127.0.0.1", name: str = NAME) -> Answer:
        """The answer to one request from ``address``."""
        reader, writer = await self.connect(address, name)
        writer.write(request)
        answer = await read(reader)
        writer.close()
        return answer

    async def connect(
        self, address: str = "127.0.0.1", name: str = NAME
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with TLS from ``address``."""
        host = "::1" if ":" in address else "127.0.0.1"
        return await asyncio.open_connection(
            host, self.port, ssl=self.trusts, server_hostname=name, local_addr=(address, 0)
        )


async def read(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(30):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        return Answer(int(first.split()[1]), headers, await reader.read(65536) if headers else b"")


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    given = {"Host": NAME, "Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def login(issuer: Issuer, uid: str, **headers: str) -> bytes:
    body = json.dumps({"id_token": issuer.token(uid), "uid": uid}).encode()
    return request("POST", "/auth/login", body, Content_Type="application/json", **headers)


@pytest.fixture(params=["required", "legacy"])
def door(request: pytest.FixtureRequest, issuer: Issuer, tmp_path: Path) -> Iterator[Door]:
    """The committed configuration with other ports and a certificate of this run, in front of a backend of its own."""
    certificate = make_certificate(tmp_path)
    port, plain_port = free_port(), free_port()
    data = tmp_path / "data"
    data.mkdir()
    with Embedded(request.param, issuer, data, SETTINGS) as backend:
        text = CONFIGURATION.read_text().replace("127.0.0.1:8000", backend.url.removeprefix("http://"))
        text = re.sub(r"listen (\[::\]:)?443\b", rf"listen \g<1>{port}", text)
        text = re.sub(r"listen (\[::\]:)?80;", rf"listen \g<1>{plain_port};", text)
        text = re.sub(r"/etc/ssl/audit\.example\.org", str(tmp_path), text)
        with nginx(text, tmp_path):
            trusts = ssl.create_default_context(cafile=str(certificate))
            yield Door(port, plain_port, trusts, issuer, request.param)


@contextlib.contextmanager
def nginx(servers: str, folder: Path) -> Iterator[None]:
    """A process of nginx with those servers."""
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{servers}\n}}\n"
    )
    command = [str(NGINX), "-p", str(folder), "-c", str(main), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command)  # noqa: S603
    try:
        port = int(re.findall(r"listen (\d+) ssl", servers)[0])
        end = time.monotonic() + 10
        while True:
            assert process.poll() is None, (folder / "error.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < end
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def make_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "fullchain.pem"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_every_client_is_counted_under_its_own_address_and_cannot_claim_another(door: Door) -> None:
    clients = ["127.0.0.5", "127.0.0.6", "::1"]
    for number, address in enumerate(clients):
        assert (await door.ask(login(door.issuer, f"a{number}@example.com"), address)).status == 200
    for address in clients:
        claimed = {"X_Forwarded_For": "192.0.2.99", "Forwarded": "for=192.0.2.99"}
        assert (await door.ask(login(door.issuer, "b@example.com", **claimed), address)).status == 429


async def test_a_phone_signs_in_submits_and_polls(door: Door) -> None:
    uid = "phone@example.com"
    assert (await door.ask(login(door.issuer, uid))).status == 200
    bearer = {"Authorization": f"Bearer {door.issuer.token(uid)}"}
    form = multipart({"uid": uid, "task_json": json.dumps(task())}, [])
    sent = request(
        "POST", "/leakage/detect_leak", form, Content_Type=f"multipart/form-data; boundary={BOUNDARY}", **bearer
    )
    answer = await door.ask(sent)
    assert answer.status == 200, answer.body
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    job_id = re.findall(rb'"jobId": ?"([^"]+)"', answer.body)[0].decode()
    polled = await door.ask(request("GET", f"/leakage/detect_leak/{job_id}", **bearer))
    assert (polled.status, polled.headers["cache-control"]) == (200, "no-store")


async def test_an_upload_streams_through_and_is_refused_by_the_gateway_while_it_is_sent(door: Door) -> None:
    reader, writer = await door.connect()
    bearer = door.issuer.token("large@example.com")
    writer.write(
        f"POST /leakage/detect_leak HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {170 * 2**20}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
        + bytes(100_000)
    )
    answer = await read(reader)
    writer.close()
    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")


async def test_what_is_far_too_large_is_refused_by_the_proxy(door: Door) -> None:
    sent = request("POST", "/leakage/detect_leak").replace(b"Content-Length: 0", b"Content-Length: 250000000")
    assert (await door.ask(sent)).status == 413


async def test_without_tls_there_is_only_the_way_to_it(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.plain_port)
    writer.write(login(door.issuer, "plain@example.com"))
    answer = await read(reader)
    writer.close()
    assert (answer.status, answer.headers["location"]) == (308, f"https://{NAME}/auth/login")


async def test_another_name_is_not_served(door: Door) -> None:
    with pytest.raises(ssl.SSLError):
        await door.connect(name="elsewhere.example")


async def test_a_page_under_the_backends_own_name_is_served_and_a_foreign_one_is_not_in_legacy_mode(door: Door) -> None:
    uid = "page@example.com"
    bearer = {"Authorization": f"Bearer {door.issuer.token(uid)}"}
    own = request("GET", f"/v1/tasks?userID={uid}", Origin=f"https://{NAME}", Sec_Fetch_Site="same-origin", **bearer)
    assert (await door.ask(own)).status == 200
    foreign = request("GET", f"/v1/tasks?userID={uid}", Origin="https://evil.example", **bearer)
    assert (await door.ask(foreign)).status == (403 if door.mode == "legacy" else 200)
