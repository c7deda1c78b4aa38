"""The documentation of the public API: what the services document about themselves, as the public sees it."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import contracts
from contracts.public import Problem
from gateway.proxy import FAILURES
from gateway.routes import PUBLIC_ROUTES, PublicRoute
from services.chassis.identity import EXPIRED
from services.chassis.problems import problem_document

COMMITTED = Path(contracts.__file__).parent / "openapi.yaml"

_OWN_PATHS = {"/": "system", "/auth/": "auth", "/leakage/": "leakage"}
_SCHEMA_REF = "#/components/schemas/"
_DESCRIPTION = """\
How badly a window, door or wall leaks, what that costs, and what to do about it.

Sign in with `POST /auth/login`, submit a colour and a thermal photo with `POST /leakage/detect_leak`, and ask
`GET /leakage/detect_leak/{job_id}` every two seconds until the job is `done` or has ended in an `error`.

Routes with a lock need `Authorization: Bearer <token>`: the `access_token` of the sign-in, or a Google ID token.
(A backend that runs with `AUTH_MODE=legacy` also takes requests without the header.) Errors are
[problem details](https://www.rfc-editor.org/rfc/rfc9457); their `detail` is meant for the person at the phone.
"""
_TAGS = [
    {"name": "accounts", "description": "Signing in and out, the profile, leaving."},
    {"name": "analysis", "description": "Submissions of photos, and the jobs that analyse them."},
    {"name": "status", "description": "Signs of life."},
    {"name": "tasks", "description": "What was submitted, and its photos."},
]
# What the gateway may answer itself: status, meaning, headers.
_OWN = {
    "400": ("The request cannot be understood", ()),
    "405": ("The path knows no such method", ("Allow",)),
    "408": ("The request came too slowly", ()),
    "429": ("Too many requests by one person, or from one address", ("Retry-After",)),
    "431": ("The head of the request is too large", ()),
    "500": ("Something went wrong on our side", ()),
}
# What it may answer in a service's place.
_ANY = _OWN | {
    "502": ("A service gave no proper answer", ()),
    "503": ("A service is briefly unavailable", ("Retry-After",)),
    "504": ("A service took too long to answer", ()),
}
_WITH_BODY = {"413": ("The body is too large", ())}
_WITH_TOKEN = {"401": ("No good token", ("WWW-Authenticate",))}
_PRIVATE = {"403": ("You are signed in as somebody else, or a page of another site asks (legacy mode)", ())}
_WITH_ID = {"404": ("There is no such thing", ())}
# What each says, for example; 404 says what there is not.
_DETAILS = {
    "400": "Send one Authorization header.",
    "401": f"Invalid token: {EXPIRED}",
    "403": "You are signed in as somebody else. Please sign in with the account that this belongs to.",
    "405": "Method Not Allowed",
    "408": "The upload was too slow. Please try again with a better connection.",
    "409": "This Idempotency-Key came with another submission before. Please send a new key with a new submission.",
    "410": "This account was deleted. Nothing of these photos was kept.",
    "413": "The request is too large: at most 64 KiB are accepted.",
    "415": "Send the task and its photos as multipart/form-data.",
    "422": "The inside temperature must be a number in °F, such as 71.5. Please correct it.",
    "429": "You have sent too many requests. Please try again in 20 seconds.",
    "431": "The head of the request is too large.",
    "500": "Something went wrong on our side. Please try again later.",
    **{str(status): detail for status, detail in FAILURES.items()},
}
_CORRELATION_ID = "2b064170488e9c990a520f6a8d87de60"
_FAULTS = [{"type": "missing", "loc": ["body", "userID"], "msg": "Field required"}]
_HEADERS = {
    "Allow": {"description": "the method that it knows", "schema": {"type": "string"}},
    "Retry-After": {"description": "seconds to wait before trying again", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}},
}


@cache
def committed_openapi(path: Path) -> bytes:
    """The committed document at ``path`` as JSON. Reading YAML is slow, so it is done once."""
    import yaml  # not at every start: few gateways are ever asked

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open("rb") as file:
        return json.dumps(yaml.load(file, loader)).encode()  # noqa: S506 - either is a safe loader


def merged_openapi(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The public API as one OpenAPI document.

    ``documents``: those of the services, in any order, and last the gateway's own. Raises :class:`ValueError` when a
    public route is documented nowhere or twice, or when two documents mean different things by one schema's name.
    """
    *services, own = documents
    paths: dict[str, dict[str, Any]] = {}
    for public in PUBLIC_ROUTES:
        operation = _documented(public, services)
        for index, path in enumerate(public.paths):
            paths.setdefault(path, {})[public.method.lower()] = _public(operation, public, bare=index > 0)
    for path in _OWN_PATHS:
        for method, documented in own["paths"][path].items():
            operation = deepcopy(documented) | {"operationId": f"read_{_OWN_PATHS[path]}_status"}
            paths.setdefault(path, {})[method] = _with_problems(operation, _OWN)
    return {
        "openapi": own["openapi"],
        "info": {
            **own["info"],
            "description": _DESCRIPTION,
            "contact": {"name": "The home-energy-audit authors"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "the gateway that serves this document"}],
        "tags": _TAGS,
        "paths": paths,
        "components": {
            "schemas": _needed(paths, _schemas(documents)),
            "securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _documented(public: PublicRoute, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        operation
        for document in documents
        if (operation := document["paths"].get(public.path, {}).get(public.method.lower())) is not None
    ]
    if len(found) != 1:
        raise ValueError(f"{public.method} {public.path} is documented {len(found)} times")
    return found[0]


def _public(operation: dict[str, Any], public: PublicRoute, *, bare: bool) -> dict[str, Any]:
    operation = deepcopy(operation)
    operation["operationId"] = f"{public.name}_bare" if bare else public.name
    operation.setdefault("tags", [public.service])
    operation.pop("security", None)
    added = dict(_ANY)
    if public.needs_token:
        operation["security"] = [{"Bearer": []}]
        added |= _WITH_TOKEN
    if public.private:
        added |= _PRIVATE
    if public.method == "POST":
        added |= _WITH_BODY
    if "{" in public.path:
        added |= _WITH_ID
    if bare:
        note = f"The same as `{public.method} {public.paths[0]}`."
        operation["description"] = f"{note}\n\n{operation['description']}" if operation.get("description") else note
    return _with_problems(operation, added)


def _with_problems(operation: dict[str, Any], added: dict[str, tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    """With ``added``, and every error in the one form in which errors are answered."""
    responses = operation["responses"]
    for status, (meaning, headers) in added.items():
        response = responses.setdefault(status, {"description": meaning})
        if headers:
            response.setdefault("headers", {}).update({name: deepcopy(_HEADERS[name]) for name in headers})
    for status, response in responses.items():
        if status.startswith(("4", "5")):
            of_form = "HTTPValidationError" in _references(response)
            detail = _FAULTS if of_form else _DETAILS.get(status, response["description"])
            response["content"] = {
                "application/problem+json": {
                    "schema": {"$ref": _SCHEMA_REF + "Problem"},
                    "example": problem_document(int(status), detail, _CORRELATION_ID).model_dump(mode="json"),
                }
            }
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _schemas(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    problem = Problem.model_json_schema(ref_template=_SCHEMA_REF + "{model}")
    schemas: dict[str, Any] = {}
    for document in documents:
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two schemas are named {name}")
    all_schemas = {**schemas, "Problem": problem}
    return {name: _with_items(schema) for name, schema in all_schemas.items()}


def _with_items(schema: Any) -> Any:
    """Return ``schema`` with ``items`` beside each ``prefixItems`` of one kind.

    Linters and generators of clients expect ``items`` in an array, though OpenAPI 3.1 does not ask for it.
    """
    if isinstance(schema, list):
        return [_with_items(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    members = {name: _with_items(part) for name, part in schema.items()}
    prefix = members.get("prefixItems")
    if prefix and all(part == prefix[0] for part in prefix):
        members.setdefault("items", prefix[0])
    return members


def _needed(paths: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Those of ``schemas`` that ``paths`` refer to, directly or through others: internal ones stay inside."""
    needed: dict[str, Any] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            if name not in schemas:
                raise ValueError(f"there is no schema {name}")
            needed[name] = schemas[name]
            waiting.extend(_references(schemas[name]))
    return dict(sorted(needed.items()))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(_SCHEMA_REF):
            yield reference.removeprefix(_SCHEMA_REF)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
