"""Accounts outlive addresses: looked at through the gateway of a whole running system."""

import io
import json
import secrets
import time
import zipfile
from dataclasses import dataclass
from typing import Any

from tests.e2e.app import App, task
from tests.e2e.conftest import Backend
from tests.e2e.test_account import ERASED_SECONDS, eventually


@dataclass
class Person:
    """Somebody at the issuer: the subject stays, the address may change."""

    backend: Backend
    subject: str
    email: str

    def token(self, **claims: Any) -> str:
        return self.backend.issuer.token(self.email, sub=self.subject, **claims)

    def phone(self, *, bearer: bool = True, **claims: Any) -> App:
        """A phone that has just signed in, and goes on with the access token."""
        app = App(self.backend.url, self.email)
        answer = app.login(self.token(**claims))
        assert answer.status == 200, answer.body
        assert answer.json()["user_id"] == self.email
        if bearer:
            app.bearer = answer.json()["access_token"]
        return app

    def direct(self) -> App:
        """A phone that sends the issuer's token to every route, and has not signed in."""
        return App(self.backend.url, self.email, bearer=self.token())


def new_email() -> str:
    return f"person-{secrets.token_hex(6)}@example.com"


def person(backend: Backend, email: str | None = None) -> Person:
    return Person(backend, f"11{secrets.randbelow(10**16)}", email or new_email())


def listed(app: App) -> list[str]:
    answer = app.request("GET", f"/v1/tasks?userID={app.uid}")
    assert answer.status == 200, answer.body
    return [each["taskID"] for each in answer.json()["tasks"]]


def submitted(app: App, **values: Any) -> str:
    sent = task(**values)
    answer = app.submit(sent, [])
    assert answer.status == 200, answer.body
    return str(sent["id"])


def exported(app: App) -> tuple[list[Any], list[Any]]:
    answer = app.request("GET", "/v1/account/export")
    assert answer.status == 200, answer.body
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        return json.loads(archive.read("profile.json")), json.loads(archive.read("tasks.json"))


def zip_code(app: App) -> Any:
    answer = app.request("GET", f"/v1/profile?userID={app.uid}")
    assert answer.status == 200, answer.body
    return answer.json()["zipCode"]


def test_a_renamed_address_finds_tasks_profile_and_export(backend: Backend) -> None:
    someone = person(backend)
    before = someone.phone()
    assert before.update_profile(zip="15213").status == 200
    first = submitted(before)
    someone.email = new_email()
    for app in (someone.phone(), someone.direct()):
        assert zip_code(app) == "15213"
        assert listed(app) == [first]
        profiles, tasks = exported(app)
        assert [(each["zipCode"], each["person"]) for each in profiles] == [("15213", someone.subject)]
        assert [each["taskID"] for each in tasks] == [first]
    again = someone.phone()
    assert again.submit(task(first), []).status == 200, "the task is still this person's"
    second = submitted(again)
    assert sorted(listed(before)) == sorted([first, second])


def test_a_recycled_address_finds_nothing_of_its_first_owner(backend: Backend) -> None:
    first = person(backend)
    owner = first.phone()
    owner.update_profile(zip="15213")
    kept = submitted(owner)
    second = person(backend, first.email)
    for app in (second.direct(), second.phone()):
        assert listed(app) == []
        assert app.request("GET", f"/v1/tasks/{kept}").status == 404
        assert app.submit(task(kept), []).status == 403
        assert zip_code(app) is None
        assert exported(app)[1] == []
    app = second.phone()
    theirs = submitted(app)
    assert listed(app) == [theirs]
    first.email = new_email()
    for app in (first.phone(), first.direct()):
        assert listed(app) == [kept]
        assert zip_code(app) == "15213"


def test_without_a_token_an_address_leads_to_the_account_that_holds_it_now(backend: Backend) -> None:
    if backend.mode != "legacy":
        return
    first = person(backend)
    old = submitted(first.phone(bearer=False))
    present = int(time.time())
    second = person(backend, first.email)
    app = second.phone(bearer=False, iat=present + 5)
    assert listed(app) == []
    new = submitted(app)
    assert listed(app) == [new]
    first.email = new_email()
    assert listed(first.phone()) == [old]
    assert listed(second.direct()) == [new]


def test_leaving_under_a_recycled_address_leaves_the_first_owner_everything(backend: Backend) -> None:
    first = person(backend)
    owner = first.phone()
    kept = submitted(owner)
    second = person(backend, first.email)
    app = second.phone()
    gone = submitted(app)
    assert app.request("DELETE", "/v1/account").status == 202
    eventually(lambda: gone not in backend.kept() and second.subject not in backend.kept(), ERASED_SECONDS)
    assert listed(owner) == [kept]
    assert listed(first.direct()) == [kept]


def test_one_person_signs_out_everywhere_under_any_address(backend: Backend) -> None:
    someone = person(backend)
    phones = [someone.phone(), someone.direct()]
    someone.email = new_email()
    assert someone.phone().request("POST", "/v1/sign_out").status == 200
    for app in phones:
        eventually(lambda app=app: app.request("GET", f"/v1/tasks?userID={app.uid}").status == 401, 45)


def test_an_address_in_lookalike_letters_is_nobody(backend: Backend) -> None:
    name = f"kevin-{secrets.token_hex(4)}@example.com"
    victim = person(backend, name).phone()
    submitted(victim)
    lookalike = name.replace("k", "\u212a", 1)
    thief = person(backend, lookalike)
    for uid in (name, lookalike):
        assert App(backend.url, uid).login(thief.token()).status == 401
    direct = App(backend.url, name, bearer=thief.token())
    assert direct.request("GET", f"/v1/tasks?userID={name}").status == 401
    if backend.mode == "legacy":
        assert App(backend.url, lookalike).submit(task(), []).status == 422
