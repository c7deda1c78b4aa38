"""The routes that only tasks may use; see :mod:`contracts.internal`. The gateway forwards none of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from contracts.internal import (
    ACCOUNT_PATH,
    HOUSEHOLD_PATH,
    PROFILE_PATH,
    AccountAnswer,
    KeptProfile,
    NewestHousehold,
    PersonProved,
)
from contracts.public import UserId
from services.auth.profiles import household, profile
from services.chassis.access import only_services
from services.chassis.identity import InvalidTokenError
from services.chassis.people import Identity
from services.chassis.problems import Problem

router = APIRouter(include_in_schema=False, dependencies=[Depends(only_services)])


@router.get(PROFILE_PATH)
async def read_profile(request: Request, user_id: Annotated[UserId, Query(alias="userID")]) -> KeptProfile:
    """Return all that is kept of an account."""
    row = await request.state.users.find(user_id)
    if row is None:
        raise Problem(404, "User not found")
    names = await request.state.users.names(user_id)
    name = next((name for name in names if "@" in name), user_id)
    return KeptProfile(**profile(row, name).model_dump(), person=row["person"], names=tuple(names))


@router.get(HOUSEHOLD_PATH)
async def read_household(request: Request, user_id: Annotated[UserId, Query(alias="userID")]) -> NewestHousehold:
    """Return what a submission of the person carries; without an account, nothing. The user id is given normalised."""
    row = await request.state.users.find(user_id)
    if row is None:
        return NewestHousehold()
    return NewestHousehold(version=row["profileVersion"], household=household(row))


@router.post(ACCOUNT_PATH)
async def open_account(request: Request, proved: PersonProved) -> AccountAnswer:
    """Return the account of a person who sent tasks an ID token; this may be the first that is heard of them."""
    identity = Identity(proved.person, frozenset(), proved.proved_at, proved.email)
    try:
        opened = await request.state.accounts.open(identity)
    except InvalidTokenError as error:
        raise Problem(401, f"Invalid token: {error}") from error
    return AccountAnswer(account=opened.identity.account, names=tuple(opened.held))


@router.get(ACCOUNT_PATH)
async def find_account(request: Request, name: UserId) -> AccountAnswer:
    """Return the account that a name, given normalised, leads to."""
    return AccountAnswer(account=await request.state.accounts.named(name))
