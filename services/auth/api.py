"""The routes of auth: parse, call, map."""

import asyncio
import time
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.public import (
    AccountDeletionAnswer,
    LoginAnswer,
    LoginRequest,
    Profile,
    ProfileUpdate,
    ProfileUpdateAnswer,
    ServiceStatus,
    SignInOptions,
    SignOutAnswer,
    UserId,
)
from contracts.public import (
    Problem as ProblemDocument,
)
from contracts.user_ids import normalised
from services.auth.profiles import changes, profile
from services.chassis.access import Caller
from services.chassis.identity import InvalidTokenError, KeysUnavailableError
from services.chassis.problems import Problem, unavailable

router = APIRouter()

FOREIGN = "You are signed in as somebody else. Please sign in with the account that this profile belongs to."


@router.get("/", include_in_schema=False)
async def status() -> ServiceStatus:
    """A sign of life."""
    return ServiceStatus(status="auth service is running", service="auth")


@router.get("/v1/sign_in", tags=["accounts"], summary="Whom one can sign in with")
async def sign_in(request: Request) -> SignInOptions:
    """Return the issuers whose ID tokens `POST /auth/login` accepts, and the client ids to ask them with.

    A page signs people in by the issuer's own authorization code flow with PKCE, as `discovery` describes it, and
    sends the ID token that it gets to `POST /auth/login`.
    """
    options: SignInOptions = request.state.sign_in
    return options


@router.post(
    "/login",
    tags=["accounts"],
    summary="Sign in with an ID token",
    responses={401: {"model": ProblemDocument, "description": "The token does not prove this account"}},
)
async def login(request: Request, body: LoginRequest) -> LoginAnswer:
    """Open the account that the token proves, making it when it is new.

    The account belongs to the token's issuer and subject, and stays theirs when the address changes. `uid` must be
    the token's e-mail address or its subject; of a token without an address, an address of the account will do. The
    answer's `access_token` may be sent as `Authorization: Bearer …` from then on, in place of the ID token. A token
    from before the person's last sign-out opens nothing.
    """
    state = request.state
    try:
        identity = (await state.id_tokens.prove(body.id_token)).identity
        if not identity.may_use(body.uid):
            identity = await state.accounts.find(identity)  # a token without an address, of a person who has one
        if not identity.may_use(body.uid):
            raise InvalidTokenError("it belongs to another account than the given uid")
        opened = await state.accounts.open(identity)
    except InvalidTokenError as error:
        raise Problem(401, f"Invalid token: {error}") from error
    except KeysUnavailableError as error:
        raise unavailable("Sign-in is briefly unavailable. Please try again in a few seconds.") from error
    return LoginAnswer(
        user_id=body.uid,
        action=opened.action,
        access_token=state.signer.sign(replace(identity, account=opened.identity.account)),
        expires_in=state.signer.lifetime_seconds,
    )


@router.post(
    "/update_profile",
    tags=["accounts"],
    summary="Change a profile",
    responses={
        401: {"model": ProblemDocument, "description": "No good token"},
        403: {"model": ProblemDocument, "description": "Somebody else's profile"},
        404: {"model": ProblemDocument, "description": "User not found"},
    },
)
async def update_profile(request: Request, body: ProfileUpdate) -> ProfileUpdateAnswer:
    """Store the fields that are given; an absent or null field leaves the stored value alone."""
    account = await _account(request, body.userID)
    if account is None or not await request.state.users.change_profile(account, changes(body)):
        raise Problem(404, "User not found")
    return ProfileUpdateAnswer(userID=body.userID)


@router.get(
    "/v1/profile",
    tags=["accounts"],
    summary="Read a profile",
    responses={
        401: {"model": ProblemDocument, "description": "No good token"},
        403: {"model": ProblemDocument, "description": "Somebody else's profile"},
        404: {"model": ProblemDocument, "description": "User not found"},
    },
)
async def read_profile(request: Request, user_id: Annotated[UserId, Query(alias="userID")]) -> Profile:
    """The profile as it is stored."""
    account = await _account(request, user_id)
    row = None if account is None else await request.state.users.find(account)
    if row is None:
        raise Problem(404, "User not found")
    return profile(row, normalised(user_id))


async def _account(request: Request, user_id: str) -> str | None:
    """The account of the caller, who must be called ``user_id``; without a token the one that this name leads to."""
    caller: Caller = await request.state.access.caller(request)
    if not caller.may_use(user_id):
        raise Problem(403, FOREIGN)
    if caller.identity is not None:
        return caller.identity.account
    account: str | None = await request.state.accounts.named(normalised(user_id))
    return account


@router.post(
    "/v1/sign_out",
    tags=["accounts"],
    summary="Sign out everywhere",
    responses={401: {"model": ProblemDocument, "description": "No good token"}},
)
async def sign_out(request: Request) -> SignOutAnswer:
    """Refuse every token of the caller that was issued until now: access tokens, and Google's ID tokens.

    A token is needed in every mode. Signing in again takes a Google token that is issued after this answer.
    """
    identity = await request.state.access.person(request)
    await request.state.users.sign_out(identity)
    await _second_over()
    return SignOutAnswer()


@router.delete(
    "/v1/account",
    status_code=202,
    tags=["accounts"],
    summary="Delete the account",
    responses={401: {"model": ProblemDocument, "description": "No good token"}},
)
async def delete_account(request: Request) -> AccountDeletionAnswer:
    """Close the caller's account and erase everything that is kept of it; that cannot be undone.

    A token is needed in every mode, and none that was issued until now counts afterwards. The profile is gone with
    this answer; tasks, photos, reports and pending jobs follow within a minute or two.
    """
    identity = await request.state.access.person(request)
    if identity.account is None:  # of somebody who has never signed in, there may be submissions without a token
        identity = (await request.state.accounts.open(identity)).identity
    await request.state.users.delete_account(identity)
    await _second_over()
    return AccountDeletionAnswer()


async def _second_over() -> None:
    """Wait for the next second: tokens tell their time in whole ones, and all of the present one are refused.

    So no token that is issued after our answer is mistaken for one from before it.
    """
    await asyncio.sleep(1 - time.time() % 1)


@router.get("/.well-known/jwks.json", tags=["accounts"], summary="The public keys that access tokens are signed with")
async def jwks(request: Request) -> Response:
    """A JSON Web Key Set (RFC 7517)."""
    return Response(
        await request.state.signer.get(),
        media_type="application/json",
        headers={"Cache-Control": "public, max-age=300"},
    )
