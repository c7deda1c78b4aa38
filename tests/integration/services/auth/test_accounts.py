"""Signing in, and profiles: over HTTP, the same on SQLite and on MySQL."""

import asyncio
import base64
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from contracts.events import ProfileUpdated
from services.auth.models import sign_outs, users
from services.auth.store import UserStore
from services.chassis.health import KEYS
from services.chassis.identity import ACCESS_AUDIENCE, ACCESS_ISSUER
from services.chassis.messaging import connecting
from services.chassis.outbox import Outbox
from services.chassis.settings import Issuer
from services.chassis.signouts import SignOuts
from tests.brokers import RecordingBroker
from tests.integration.services.auth.conftest import SEEDS, SERVICE_TOKEN, Auth
from tests.tokens import CLIENT_ID, SUBJECT, AccessIssuer, GoogleIssuer

StartAuth = Callable[..., Any]

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one service for all of them


# ── login ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_login_makes_the_account_and_the_next_finds_it(auth: Auth) -> None:
    body = {"id_token": auth.id_token(auth.email), "uid": auth.email}
    status, answer = await auth.post("/login", body)
    assert status == 200
    token = answer.pop("access_token")
    assert answer == {
        "status": "success",
        "user_id": auth.email,
        "action": "created",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    assert token
    assert (await auth.post("/login", body))[1]["action"] == "exists"
    row = await auth.row()
    assert row is not None
    assert row["createdAt"] == row["updatedAt"]


async def test_an_address_in_other_case_is_the_same_account(auth: Auth) -> None:
    await auth.login()
    upper = auth.email.upper()
    status, answer = await auth.post("/login", {"id_token": auth.id_token(auth.email), "uid": f" {upper} "})
    assert (status, answer["action"], answer["user_id"]) == (200, "exists", upper)
    token = auth.google.token(email=upper, sub=f"subject of {auth.email}")
    status, answer = await auth.post("/login", {"id_token": token, "uid": auth.email})
    assert (status, answer["action"]) == (200, "exists")
    async with auth.database.read() as connection:
        ids = (await connection.scalars(sa.select(users.c.userID).where(users.c.userID.like("person-%")))).all()
    assert [i for i in ids if i.lower() == auth.email] == [auth.email]


async def test_the_tokens_subject_opens_an_account_too(auth: Auth) -> None:
    token = auth.id_token(auth.email, sub=f"subject-{auth.email[:15]}")
    status, answer = await auth.post("/login", {"id_token": token, "uid": f"subject-{auth.email[:15]}"})
    assert (status, answer["action"]) == (200, "created")


@pytest.mark.parametrize("uid", ["victim@example.com", SUBJECT[:-1], "%", "_", "someone", "' OR 1=1 --"])
async def test_nobody_logs_in_as_somebody_else(auth: Auth, uid: str) -> None:
    status, answer = await auth.post("/login", {"id_token": auth.id_token(auth.email), "uid": uid})
    assert status == 401
    assert answer["detail"].startswith("Invalid token: ")
    assert auth.email not in json.dumps(answer)
    assert await auth.row(uid) is None


async def test_a_bad_token_is_answered_as_the_app_knows_it(auth: Auth) -> None:
    thief = GoogleIssuer(auth.google.key_id)
    for token in ("x", thief.token(email=auth.email), auth.id_token(auth.email, exp=1), "[" * 5000):
        status, answer = await auth.post("/login", {"id_token": token, "uid": auth.email})
        assert status == 401
        assert answer["detail"].startswith("Invalid token: ")
        assert answer["status"] == 401
        assert answer["correlationId"]
    assert await auth.row() is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"id_token": NaN, "uid": 1e999}',
        b'{"id_token": "\\ud800", "uid": "\\udfff"}',
        b'{"id_token": "x"}',
        b'{"uid": "x@example.com"}',
        json.dumps({"id_token": None, "uid": None}).encode(),
        json.dumps({"id_token": "", "uid": " "}).encode(),
        json.dumps({"id_token": {"$ne": 1}, "uid": ["x"]}).encode(),
        json.dumps({"id_token": "x" * 8193, "uid": "x"}).encode(),
        json.dumps({"id_token": "x", "uid": "x" * 256}).encode(),
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_login_of_the_wrong_form_is_a_list_of_faults(auth: Auth, body: bytes) -> None:
    status, answer = await auth.post("/login", body)
    assert status == 422, answer
    assert all(set(fault) == {"loc", "msg", "type"} for fault in answer["detail"])


@pytest.mark.parametrize("body", [b"[" * 60_000, b"\xff\xfe\xfd"], ids=["nested deeply", "no text"])
async def test_a_body_that_cannot_be_read_is_a_bad_request(auth: Auth, body: bytes) -> None:
    assert (await auth.post("/login", body))[0] == 400


async def test_many_first_logins_at_once_make_one_account(auth: Auth) -> None:
    body = {"id_token": auth.id_token(auth.email), "uid": auth.email}
    answers = await asyncio.gather(*(auth.post("/login", body) for _ in range(20)))
    assert [status for status, _ in answers] == [200] * 20
    assert sorted(answer["action"] for _, answer in answers) == ["created"] + ["exists"] * 19


async def test_while_googles_keys_are_away_login_says_so(start_auth: StartAuth) -> None:
    async with start_auth(google_certs_url="http://127.0.0.1:9/certs") as auth:
        status, answer = await auth.post("/login", {"id_token": auth.id_token(auth.email), "uid": auth.email})
        assert status == 503
        assert "127.0.0.1" not in json.dumps(answer)


# ── access tokens ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_access_token_can_be_checked_by_the_published_keys(start_auth: StartAuth) -> None:
    async with start_auth(access_token_seconds=600) as auth:
        token = await auth.login(auth.email.upper())
        status, keys = await auth.get("/.well-known/jwks.json")
    assert status == 200
    assert [set(key) for key in keys["keys"]] == [{"kty", "crv", "use", "alg", "kid", "x"}] * 2, "public parts only"
    head = jwt.get_unverified_header(token)
    assert (head["alg"], head["kid"]) == ("EdDSA", keys["keys"][0]["kid"]), "the first key signs"
    public = jwt.PyJWK(keys["keys"][0])
    claims = jwt.decode(token, public, algorithms=["EdDSA"], audience=ACCESS_AUDIENCE, issuer=ACCESS_ISSUER)
    assert claims["sub"] == auth.email
    assert claims["exp"] - claims["iat"] == 600


async def test_tokens_of_both_keys_are_good_during_a_rotation_and_of_the_dropped_one_no_more(
    start_auth: StartAuth,
) -> None:
    old, new = (base64.b64encode(seed).decode() for seed in SEEDS)
    async with start_auth(access_token_keys=old) as auth:
        before = await auth.login()
        email = auth.email
    async with start_auth(access_token_keys=f"{new},{old}") as auth:
        after = await auth.login(email)
        assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
        for token in (before, after):
            assert (await auth.get("/v1/profile", token, userID=email))[0] == 200
    async with start_auth(access_token_keys=new) as auth:
        assert (await auth.get("/v1/profile", after, userID=email))[0] == 200
        assert (await auth.get("/v1/profile", before, userID=email))[0] == 401


async def test_an_access_token_is_no_proof_for_login(auth: Auth) -> None:
    token = await auth.login()
    assert (await auth.post("/login", {"id_token": token, "uid": auth.email}))[0] == 401


# ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────────

FULL = {
    "zip": "15213",
    "ownership": "Own",
    "electricCompany": "Duquesne Light 💡",
    "budget": "up to $1000",
    "appliances": ["Central Air Conditioning", "Pool/Hot Tub", "Wärmepumpe"],
}
STORED = {
    "zipCode": "15213",
    "ownership": "Own",
    "energyCompany": "Duquesne Light 💡",
    "retrofitBudget": "up to $1000",
    "appliances": ["Central Air Conditioning", "Pool/Hot Tub", "Wärmepumpe"],
}


async def profile(auth: Auth, token: str) -> dict[str, Any]:
    status, answer = await auth.get("/v1/profile", token, userID=auth.email)
    assert status == 200
    return {name: answer[name] for name in STORED}


async def test_every_field_is_stored_announced_and_read_again(auth: Auth) -> None:
    token = await auth.login()
    status, answer = await auth.post("/update_profile", {"userID": auth.email, **FULL}, token)
    assert (status, answer) == (200, {"status": "profile updated", "userID": auth.email})
    assert await profile(auth, token) == STORED
    (event,) = await auth.events(1)
    assert event.version == (await auth.row() or {})["profileVersion"]
    assert event.household.model_dump(mode="json") == {
        "zip_code": "15213",
        "ownership": "Own",
        "energy_company": "Duquesne Light 💡",
        "retrofit_budget": "up to $1000",
        "appliances": ["Central Air Conditioning", "Pool/Hot Tub", "Wärmepumpe"],
    }
    assert await auth.row() is not None


@pytest.mark.parametrize("left_out", FULL)
async def test_a_field_that_is_absent_or_null_is_left_alone(auth: Auth, left_out: str) -> None:
    token = await auth.login()
    await auth.post("/update_profile", {"userID": auth.email, **FULL}, token)
    other = {"zip": "1", "ownership": "Rent", "electricCompany": "2", "budget": "3", "appliances": ["4"]}
    changed = {name: value for name, value in other.items() if name != left_out}
    for body in (changed, {**changed, left_out: None}):
        await auth.post("/update_profile", {"userID": auth.email, **body}, token)
        names = dict(zip(FULL, STORED, strict=True))
        expected = {names[name]: value for name, value in {**changed, left_out: FULL[left_out]}.items()}
        assert await profile(auth, token) == expected


async def test_empty_values_are_values(auth: Auth) -> None:
    token = await auth.login()
    await auth.post("/update_profile", {"userID": auth.email, **FULL}, token)
    await auth.post("/update_profile", {"userID": auth.email, "zip": "", "appliances": []}, token)
    read = await profile(auth, token)
    assert (read["zipCode"], read["appliances"], read["ownership"]) == ("", [], "Own")


async def test_an_update_of_nothing_is_an_update(auth: Auth) -> None:
    token = await auth.login()
    first = (await auth.row() or {})["profileVersion"]
    assert (await auth.post("/update_profile", {"userID": auth.email}, token))[0] == 200
    (event,) = await auth.events(1)
    assert (event.version, event.household.appliances) == (first + 1, ())


async def test_a_profile_cannot_be_given_what_it_does_not_have(auth: Auth) -> None:
    token = await auth.login()
    before = (await auth.row() or {})["profileVersion"]
    extra = {"profileVersion": 99, "suggestedBudget": 1.5, "createdAt": "1999-01-01", "zipCode": "99999"}
    assert (await auth.post("/update_profile", {"userID": auth.email, **extra}, token))[0] == 200
    row = await auth.row()
    assert row is not None
    assert (row["profileVersion"], row["suggestedBudget"], row["zipCode"]) == (before + 1, None, None)


async def test_the_id_may_be_written_in_any_case(auth: Auth) -> None:
    token = await auth.login()
    upper = auth.email.upper()
    assert (await auth.post("/update_profile", {"userID": upper, "zip": "1"}, token))[1]["userID"] == upper
    assert (await profile(auth, token))["zipCode"] == "1"


async def test_an_unknown_user_is_not_found(auth: Auth) -> None:
    token = auth.id_token(auth.email)  # good, but never logged in
    for status, answer in (
        await auth.post("/update_profile", {"userID": auth.email, "zip": "1"}, token),
        await auth.get("/v1/profile", token, userID=auth.email),
    ):
        assert (status, answer["detail"]) == (404, "User not found")
    assert await auth.row() is None


async def test_somebody_elses_profile_is_out_of_reach_whether_it_exists_or_not(auth: Auth) -> None:
    await auth.login()
    stranger = auth.google.token(email="stranger@example.com", sub="1")
    answers = []
    for user_id in (auth.email, "nobody@example.com"):
        answers.append(await auth.post("/update_profile", {"userID": user_id, "zip": "1"}, stranger))
        answers.append(await auth.get("/v1/profile", stranger, userID=user_id))
    assert {status for status, _ in answers} == {403}
    assert len({answer["detail"] for _, answer in answers}) == 1
    row = await auth.row()
    assert row is not None
    assert row["zipCode"] is None


async def test_without_a_token_nothing_is_read_or_changed(auth: Auth) -> None:
    await auth.login()
    assert (await auth.post("/update_profile", {"userID": auth.email, "zip": "1"}))[0] == 401
    assert (await auth.get("/v1/profile", userID=auth.email))[0] == 401


async def test_a_token_of_a_foreign_key_changes_nothing(auth: Auth) -> None:
    await auth.login()
    forged = AccessIssuer(b"f" * 32).token(sub=auth.email)
    assert (await auth.post("/update_profile", {"userID": auth.email, "zip": "1"}, forged))[0] == 401


async def test_legacy_mode_lets_the_published_app_in_and_nobody_with_a_foreign_token(start_auth: StartAuth) -> None:
    async with start_auth(auth_mode="legacy") as auth:
        token = await auth.login()
        assert (await auth.post("/update_profile", {"userID": auth.email, "zip": "1"}))[0] == 200
        assert (await profile(auth, token))["zipCode"] == "1"
        assert (await auth.post("/update_profile", {"userID": "nobody@example.com", "zip": "1"}))[0] == 404
        stranger = auth.google.token(email="stranger@example.com", sub="1")
        assert (await auth.post("/update_profile", {"userID": auth.email, "zip": "2"}, stranger))[0] == 403


@pytest.mark.parametrize(
    "fault",
    [
        {"zip": "1" * 17},
        {"ownership": "x" * 101},
        {"electricCompany": "x" * 256},
        {"budget": "x" * 256},
        {"appliances": ["x" * 101]},
        {"appliances": ["x"] * 51},
        {"appliances": "Window AC"},
        {"appliances": [None]},
        {"zip": 15213},
        {"zip": {"$gt": ""}},
        {"userID": ""},
        {"userID": "x" * 256},
        {"userID": None},
    ],
    ids=lambda fault: repr(fault)[:30],
)
async def test_what_does_not_fit_is_a_list_of_faults_and_changes_nothing(auth: Auth, fault: dict[str, Any]) -> None:
    token = await auth.login()
    status, answer = await auth.post("/update_profile", {"userID": auth.email, **fault}, token)
    assert status == 422
    assert answer["detail"][0]["loc"][:2] == ["body", next(iter(fault))]
    row = await auth.row()
    assert row is not None


@pytest.mark.parametrize("text", ["'; DROP TABLE UserData; --", "\x00\n\r", "{{7*7}}", "𝒳" * 16, '{"$ne":1}', "%s%d"])
async def test_any_text_that_fits_is_kept_as_it_is(auth: Auth, text: str) -> None:
    token = await auth.login()
    body = {"userID": auth.email, "electricCompany": text, "appliances": [text]}
    assert (await auth.post("/update_profile", body, token))[0] == 200
    read = await profile(auth, token)
    assert (read["energyCompany"], read["appliances"]) == (text, [text])


@pytest.mark.parametrize("field", ["zip", "electricCompany", "appliances"])
async def test_half_a_character_is_refused(auth: Auth, field: str) -> None:
    token = await auth.login()
    value = '["\\ud83d"]' if field == "appliances" else '"\\ud83d"'
    body = f'{{"userID": "{auth.email}", "{field}": {value}}}'.encode()
    assert (await auth.post("/update_profile", body, token))[0] == 422


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_concurrent_updates_get_versions_of_their_own_and_the_highest_tells_the_truth(auth: Auth) -> None:
    token = await auth.login()
    number = 15
    answers = await asyncio.gather(
        *(
            auth.post("/update_profile", {"userID": auth.email, name: f"{i}"}, token)
            for i in range(number)
            for name in ("zip", "budget")
        )
    )
    assert [status for status, _ in answers] == [200] * 2 * number
    events = sorted(await auth.events(2 * number), key=lambda event: event.version)
    last = (await auth.row() or {})["profileVersion"]
    assert [event.version for event in events] == list(range(last - 2 * number + 1, last + 1))
    for earlier, later in pairwise(events):
        changed = [
            n for n in ("zip_code", "retrofit_budget") if getattr(earlier.household, n) != getattr(later.household, n)
        ]
        assert len(changed) == 1, "each event shows exactly one more change"
    row = await auth.row()
    assert row is not None
    told = events[-1].household
    assert (row["zipCode"], row["retrofitBudget"]) == (told.zip_code, told.retrofit_budget)


async def test_a_profile_is_stored_with_its_event_or_not_at_all(auth: Auth) -> None:
    await auth.login()

    class Broken(Outbox):
        async def add(self, *_: Any) -> None:
            raise RuntimeError("no room")

    broken = Broken(sa.table("auth_outbox"))  # type: ignore[arg-type]
    before = await auth.row()
    store = UserStore(auth.database, broken, SignOuts(auth.database, sign_outs, SERVICE_TOKEN))
    with pytest.raises(RuntimeError):
        await store.change_profile(auth.email, {"zipCode": "1"})
    assert await auth.row() == before
    assert before is not None


async def test_started_while_the_broker_is_away_it_serves_all_the_same(
    start_auth: StartAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "PATIENCE_SECONDS", 0.05)
    there = asyncio.Event()

    async def start(_: RecordingBroker) -> None:
        await there.wait()

    monkeypatch.setattr(RecordingBroker, "start", start)
    async with start_auth() as late:
        token = await late.login()
        assert (await late.post("/update_profile", {"userID": late.email, "zip": "15213"}, token))[0] == 200


async def test_while_the_broker_is_away_profiles_are_stored_and_announced_later(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.outbox.FIRST_RETRY_SECONDS", 0.05)
    token = await auth.login()
    auth.broker.away = True
    assert (await auth.post("/update_profile", {"userID": auth.email, "zip": "1"}, token))[0] == 200
    assert await auth.events(0) == []
    auth.broker.away = False
    (event,) = await auth.events(1)
    assert event.household.zip_code == "1"


async def test_an_event_carries_the_correlation_id_of_its_request(auth: Auth) -> None:
    token = await auth.login()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    body = {"userID": auth.email}
    async with auth.http.post(auth.url + "/update_profile", json=body, headers=headers) as response:
        assert response.headers["X-Correlation-Id"] == trace
    await auth.events(1)
    (envelope,) = [e for e in auth.broker.published if (e.subject, e.type) == (auth.email, ProfileUpdated.TYPE)]
    assert envelope.traceparent is not None
    assert envelope.traceparent.split("-")[1] == trace


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_health_names_its_dependencies_and_the_broker_is_one_that_it_serves_without(auth: Auth) -> None:
    assert await auth.get("/healthz") == (200, {"status": "alive"})
    assert await auth.get("/readyz") == (200, {"status": "ready", "checks": {"sql": "ok", "broker": "ok", KEYS: "ok"}})
    auth.broker.away = True
    status, answer = await auth.get("/readyz")
    assert (status, answer) == (200, {"status": "degraded", "checks": {"sql": "ok", "broker": "failed", KEYS: "ok"}})
    await auth.login()


async def test_while_googles_keys_are_away_health_says_so_and_who_is_signed_in_goes_on(start_auth: StartAuth) -> None:
    async with start_auth() as auth:
        token = await auth.login()
        email = auth.email
    async with start_auth(google_certs_url="http://127.0.0.1:9/certs") as cut_off:
        status, answer = await cut_off.get("/readyz")
        assert (status, answer["status"], answer["checks"][KEYS]) == (200, "degraded", "failed")
        assert (await cut_off.get("/v1/profile", token, userID=email))[0] == 200


async def test_a_page_is_told_whom_one_can_sign_in_with(start_auth: StartAuth) -> None:
    google = {
        "issuer": "https://accounts.google.com",
        "clientIds": [CLIENT_ID],
        "discovery": "https://accounts.google.com/.well-known/openid-configuration",
        "developmentTokenUrl": None,
    }
    other = {
        "issuer": "https://login.example.org/realm",
        "clientIds": ["web", "phone"],
        "discovery": "https://login.example.org/realm/.well-known/openid-configuration",
        "developmentTokenUrl": None,
    }
    issuers = (Issuer(other["issuer"], ("web", "phone")),)
    async with start_auth(oidc_issuers=issuers) as both, start_auth(oidc_issuers=issuers, google_client_ids=()) as one:
        assert await both.get("/v1/sign_in") == (200, {"issuers": [google, other]})
        assert await one.get("/v1/sign_in") == (200, {"issuers": [other]})


async def test_the_root_is_a_sign_of_life(auth: Auth) -> None:
    assert await auth.get("/") == (200, {"status": "auth service is running", "service": "auth"})


async def test_nothing_else_is_there(auth: Auth) -> None:
    for path in ("/metrics", "/docs", "/openapi.json", "/auth/login", "/v1/profile/../login"):
        assert (await auth.get(path))[0] in (404, 405)


async def test_a_restart_keeps_accounts(start_auth: StartAuth) -> None:
    async with start_auth() as auth:
        await auth.login()
        email = auth.email
    async with start_auth() as auth:
        _, answer = await auth.post("/login", {"id_token": auth.id_token(email), "uid": email})
        assert answer["action"] == "exists"
