"""The merged documentation shows the public API, all of it and nothing else."""

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from pydantic import BaseModel

from contracts.public import LoginAnswer, LoginRequest, SubmissionAnswer
from contracts.public import Problem as ProblemDocument
from gateway import documentation
from gateway.app import create_app
from gateway.documentation import merged_openapi
from gateway.routes import PUBLIC_ROUTES
from gateway.settings import GatewaySettings
from services.chassis.metrics import Metrics
from services.chassis.problems import problem_response


class Inner(BaseModel):
    """Only an internal route speaks of it."""

    secret: str


def documents() -> list[dict[str, Any]]:
    auth, tasks = FastAPI(title="auth"), FastAPI(title="tasks")

    @auth.post("/login", responses={401: {"model": ProblemDocument, "description": "wrong token"}}, summary="Sign in")
    async def login(body: LoginRequest) -> LoginAnswer:
        """Open the account."""
        raise NotImplementedError

    @tasks.post("/detect_leak", tags=["leaks"])
    async def submit() -> SubmissionAnswer:
        raise NotImplementedError

    @tasks.put("/internal/things")
    async def internal(body: Inner) -> Inner:
        raise NotImplementedError

    for app, name in ((auth, "auth"), (tasks, "tasks")):
        for route in PUBLIC_ROUTES:
            if route.service == name and route.name not in ("login", "submit"):
                app.add_api_route(route.path, lambda: None, methods=[route.method], name=route.name)
    settings = GatewaySettings(auth_url="http://a", tasks_url="http://t", google_client_ids=("x",))
    return [auth.openapi(), tasks.openapi(), create_app(settings, Metrics()).openapi()]


@pytest.fixture(scope="module")
def merged() -> dict[str, Any]:
    return merged_openapi(documents())


def test_every_public_path_is_there_and_no_other(merged: dict[str, Any]):
    own = {("get", "/"), ("get", "/auth/"), ("get", "/leakage/")}
    public = {(route.method.lower(), path) for route in PUBLIC_ROUTES for path in route.paths}
    assert {(method, path) for path, item in merged["paths"].items() for method in item} == own | public


def test_every_operation_has_a_name_of_its_own(merged: dict[str, Any]):
    names = [operation["operationId"] for item in merged["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_a_bare_path_says_what_it_stands_for(merged: dict[str, Any]):
    prefixed, bare = merged["paths"]["/auth/login"]["post"], merged["paths"]["/login"]["post"]
    assert prefixed["description"] == "Open the account."
    assert bare["description"] == "The same as `POST /auth/login`.\n\nOpen the account."
    assert prefixed["summary"] == bare["summary"] == "Sign in"


def test_schemas_of_internal_routes_stay_inside(merged: dict[str, Any]):
    schemas = merged["components"]["schemas"]
    assert "Inner" not in schemas
    assert "HTTPValidationError" not in schemas
    assert {"LoginRequest", "LoginAnswer", "SubmissionAnswer", "Problem", "ServiceStatus"} <= set(schemas)


def test_examples_are_kept(merged: dict[str, Any]):
    assert merged["components"]["schemas"]["LoginRequest"]["examples"][0]["uid"] == "someone@example.com"


def test_a_token_is_asked_for_where_the_gateway_asks_for_one(merged: dict[str, Any]):
    for route in PUBLIC_ROUTES:
        for path in route.paths:
            operation = merged["paths"][path][route.method.lower()]
            assert operation.get("security") == ([{"Bearer": []}] if route.needs_token else None)
            assert ("401" in operation["responses"]) == (route.needs_token or route.name == "login")
    assert merged["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"


def test_every_error_is_a_problem_document(merged: dict[str, Any]):
    for path, item in merged["paths"].items():
        for operation in item.values():
            assert {"400", "405", "408", "429", "431", "500"} <= set(operation["responses"])
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
    assert merged["paths"]["/login"]["post"]["responses"]["401"]["description"] == "wrong token"


def test_every_error_is_shown_as_it_is_answered(merged: dict[str, Any]):
    for path, item in merged["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    example = response["content"]["application/problem+json"]["example"]
                    answered = json.loads(problem_response(int(status), example["detail"]).body)
                    assert ProblemDocument.model_validate(example)
                    assert example == {**answered, "correlationId": example["correlationId"]}, (path, status)


def test_each_error_has_an_example_of_its_own(merged: dict[str, Any]):
    responses = merged["paths"]["/auth/login"]["post"]["responses"]
    said = {status: _example(response)["detail"] for status, response in responses.items() if status >= "400"}
    assert said["503"] == "The service is briefly unavailable. Please try again in a few seconds."
    assert len(said) == len({str(detail) for detail in said.values()})


def test_where_a_request_of_the_wrong_form_is_answered_with_its_faults_the_example_lists_some(merged: dict[str, Any]):
    faults = _example(merged["paths"]["/auth/login"]["post"]["responses"]["422"])["detail"]
    assert [sorted(fault) for fault in faults] == [["loc", "msg", "type"]]


def _example(response: dict[str, Any]) -> dict[str, Any]:
    example: dict[str, Any] = response["content"]["application/problem+json"]["example"]
    return example


def test_what_the_gateway_answers_itself_is_documented_where_it_can(merged: dict[str, Any]):
    for route in PUBLIC_ROUTES:
        for path in route.paths:
            responses = merged["paths"][path][route.method.lower()]["responses"]
            assert {"400", "405", "408", "429", "431", "500", "502", "503", "504"} <= set(responses), path
            if route.method == "POST":
                assert "413" in responses, path
            if "{" in path:
                assert "404" in responses, path


def test_a_status_that_comes_with_a_header_is_documented_with_it(merged: dict[str, Any]):
    sent = {"401": "WWW-Authenticate", "405": "Allow", "429": "Retry-After", "503": "Retry-After"}
    for path, item in merged["paths"].items():
        for operation in item.values():
            for status, header in sent.items():
                if status in operation["responses"] and path not in ("/login", "/auth/login"):
                    assert header in operation["responses"][status]["headers"], (path, status)


def test_every_reference_leads_somewhere(merged: dict[str, Any]):
    for name in documentation._references(merged):
        assert name in merged["components"]["schemas"]


def test_the_documents_given_are_left_as_they_are():
    given = documents()
    before = deepcopy(given)
    merged_openapi(given)
    assert given == before


def test_a_public_route_that_nobody_documents_is_an_error():
    auth, tasks, own = documents()
    del tasks["paths"]["/v1/tasks"]
    with pytest.raises(ValueError, match="GET /v1/tasks is documented 0 times"):
        merged_openapi([auth, tasks, own])


def test_two_meanings_of_one_name_are_an_error():
    auth, tasks, own = documents()
    tasks["components"]["schemas"]["LoginRequest"] = {"type": "string"}
    with pytest.raises(ValueError, match="two schemas are named LoginRequest"):
        merged_openapi([auth, tasks, own])


def test_the_document_survives_being_written_and_read(merged, tmp_path):
    committed = tmp_path / "openapi.yaml"
    committed.write_text(yaml.safe_dump(merged, sort_keys=False, allow_unicode=True))

    assert json.loads(documentation.committed_openapi(committed)) == merged
