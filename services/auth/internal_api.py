"""The routes that only tasks may use; see :mod:`contracts.internal`. The gateway forwards none of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from contracts.internal import HOUSEHOLD_PATH, PROFILE_PATH, NewestHousehold
from contracts.public import Profile, UserId
from services.auth.profiles import household, profile
from services.chassis.access import only_services
from services.chassis.problems import Problem

router = APIRouter(include_in_schema=False, dependencies=[Depends(only_services)])


@router.get(PROFILE_PATH)
async def read_profile(request: Request, user_id: Annotated[UserId, Query(alias="userID")]) -> Profile:
    """The profile as it is stored, of a user id that is given normalised."""
    row = await request.state.users.find(user_id)
    if row is None:
        raise Problem(404, "User not found")
    return profile(row)


@router.get(HOUSEHOLD_PATH)
async def read_household(request: Request, user_id: Annotated[UserId, Query(alias="userID")]) -> NewestHousehold:
    """Return what a submission of the person carries; without an account, nothing. The user id is given normalised."""
    row = await request.state.users.find(user_id)
    if row is None:
        return NewestHousehold()
    return NewestHousehold(version=row["profileVersion"], household=household(row))
