"""Who is let in, and what is said to who is not."""

import json
import logging
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from services.chassis.access import Access, Caller, warn_of_legacy
from services.chassis.documents import DocumentUnavailableError
from services.chassis.identity import AccessTokens, Bearers, GoogleTokens
from services.chassis.problems import Problem
from services.chassis.settings import AuthMode
from tests.tokens import CLIENT_ID, EMAIL, AccessIssuer, GoogleIssuer, Published

GOOGLE = GoogleIssuer()
OURS = AccessIssuer()
MODES: Sequence[AuthMode] = ("required", "legacy")


def access(mode: AuthMode) -> Access:
    google = GoogleTokens(Published(GOOGLE.certificates()), [CLIENT_ID])
    return Access(Bearers(AccessTokens(Published(OURS.jwks())), google), mode)


def request(*authorizations: str) -> Request:
    headers = [(b"authorization", value.encode("latin-1")) for value in authorizations]
    return Request({"type": "http", "headers": headers})


async def refused(mode: AuthMode, *authorizations: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await access(mode).caller(request(*authorizations))
    return caught.value


@pytest.mark.parametrize("mode", MODES)
async def test_a_good_token_of_either_kind_lets_its_owner_in_and_nobody_else(mode: AuthMode) -> None:
    for token in (GOOGLE.token(), OURS.token()):
        caller = await access(mode).caller(request(f"Bearer {token}"))
        assert caller.may_use(EMAIL.upper())
        assert not caller.may_use("another@example.com")


async def test_without_a_token_required_mode_asks_to_sign_in() -> None:
    problem = await refused("required")
    assert problem.status == 401
    assert problem.headers == {"WWW-Authenticate": "Bearer"}
    assert "sign in" in problem.detail


async def test_without_a_token_legacy_mode_trusts_the_user_id_that_is_named() -> None:
    caller = await access("legacy").caller(request())
    assert caller.identity is None
    assert caller.may_use("anyone@example.com")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("header", ["Bearer x.y.z", "Basic dXNlcg==", "", "Bearer \xff\xfe", f"Bearer {'x' * 9000}"])
async def test_a_token_that_is_sent_must_be_good_in_either_mode(mode: AuthMode, header: str) -> None:
    problem = await refused(mode, header)
    assert problem.status == 401
    assert problem.detail.startswith("Invalid token: ")
    assert problem.headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize("mode", MODES)
async def test_two_headers_are_refused_whatever_they_say(mode: AuthMode) -> None:
    good = f"Bearer {OURS.token()}"
    assert (await refused(mode, good, good)).status == 400


@pytest.mark.parametrize("mode", MODES)
async def test_while_the_keys_are_away_nobody_is_called_a_liar(mode: AuthMode) -> None:
    class Away:
        async def get(self) -> bytes:
            raise DocumentUnavailableError("http://auth:8001/.well-known/jwks.json")

        refetch = get

    doors = Access(Bearers(AccessTokens(Away()), GoogleTokens(Away(), [CLIENT_ID])), mode)
    for token in (GOOGLE.token(), OURS.token()):
        with pytest.raises(Problem) as caught:
            await doors.caller(request(f"Bearer {token}"))
        assert caught.value.status == 503
        assert int(caught.value.headers["Retry-After"]) > 0
        assert "auth:8001" not in caught.value.detail


@pytest.mark.parametrize(
    "token",
    [GOOGLE.token(exp=1), GOOGLE.token(aud="other"), OURS.token(exp=1), OURS.token(sub=7), GOOGLE.token()[:-9]],
)
async def test_neither_the_answer_nor_the_log_repeats_a_token_or_an_address(
    token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        problem = await refused("required", f"Bearer {token}")
    said = problem.detail + json.dumps(logs) + caplog.text
    assert EMAIL not in said
    assert not any(part in said for part in token.split("."))


def test_legacy_mode_is_announced() -> None:
    with capture_logs() as logs:
        warn_of_legacy("required")
        assert logs == []
        warn_of_legacy("legacy")
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_without_a_token_an_address_that_may_mean_two_people_is_refused() -> None:
    with pytest.raises(Problem) as raised:
        Caller(None).may_use("\u212aevin@example.com")
    assert raised.value.status == 422
