"""In legacy mode a page of another site gets nothing that is a person's; apps and pages of this backend do."""

import json

import pytest

from gateway.pages import Pages
from services.chassis.problems import Problem
from tests.unit.gateway.door import opened
from tests.unit.gateway.wire import Answer, ask, get


def is_refused(*headers: tuple[str, str], names: tuple[str, ...] = ("audit.example.org",)) -> bool:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    try:
        Pages(names).raise_if_foreign({"type": "http", "headers": raw})
    except Problem as problem:
        return problem.status == 403
    return False


@pytest.mark.parametrize(
    "host",
    [
        "10.0.2.2:8000",
        "127.0.0.1:8000",
        "192.168.1.17:8000",
        "[::1]:8000",
        "[fe80::1]",
        "localhost",
        "LocalHost:8000",
        "localhost.:8000",
        "audit.example.org",
        "AUDIT.example.org:443",
    ],
)
def test_an_address_localhost_and_a_name_of_ours_are_let_in(host: str):
    assert not is_refused(("Host", host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "audit.example.org.evil.example",
        "localhost.evil.example:8000",
        "127.0.0.1.nip.io",
        "localhost@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1%evil.example",
        "localhost/evil.example",
        "evil.example:99999999",
        "",
    ],
)
def test_a_foreign_name_is_refused(host: str):
    assert is_refused(("Host", host))


def test_a_request_without_a_host_is_refused():
    assert is_refused()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("audit.example.org", "https://audit.example.org"),  # TLS ends at a proxy
        ("audit.example.org:443", "https://audit.example.org"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_a_page_of_this_backend_is_let_in(host: str, origin: str):
    assert not is_refused(("Host", host), ("Origin", origin), ("Sec-Fetch-Site", "same-origin"))


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3000",
        "http://localhost:8000@evil.example",
        "https://localhost:8000/",
        "null",
        "",
        "file://",
        "http://localhost:8000,http://evil.example",
        "chrome-extension://localhost:8000",
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str):
    assert is_refused(("Host", "localhost:8000"), ("Origin", origin))


def test_what_a_page_of_another_site_embeds_is_refused():
    assert is_refused(("Host", "localhost:8000"), ("Sec-Fetch-Site", "cross-site"))


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site"])
def test_what_no_page_of_another_site_asked_for_is_let_in(site: str):
    assert not is_refused(("Host", "localhost:8000"), ("Sec-Fetch-Site", site))


FOREIGN = ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"]


async def asked(mode: str, path: str, *headers: str, host: str = "door.example") -> Answer:
    async with opened(auth_mode=mode, same_process=True, limit_other="1/day", people_per_address=1) as door:
        bearer = () if mode == "legacy" else (f"Authorization: Bearer {door.issuer.token()}",)
        await ask(door.port, get(path, *headers, *bearer).replace(b"door.example", host.encode()))
        return await ask(door.port, get(path, *headers, *bearer).replace(b"door.example", host.encode()))


@pytest.mark.parametrize("header", FOREIGN)
async def test_in_legacy_mode_a_foreign_page_is_refused_with_a_sentence_and_uses_up_no_limit(header: str):
    answer = await asked("legacy", "/v1/tasks", header)
    assert answer.status == 403
    assert json.loads(answer.body)["detail"] == "A page of another site cannot use this backend."


async def test_in_legacy_mode_a_foreign_name_is_refused():
    assert (await asked("legacy", "/v1/tasks", host="evil.example")).status == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_in_legacy_mode_signs_of_health_are_for_everybody(path: str):
    assert (await asked("legacy", path, *FOREIGN, host="gateway")).status == 200


async def test_in_required_mode_the_token_decides_alone():
    assert (await asked("required", "/detect_leak/1", *FOREIGN, host="evil.example")).status == 200
