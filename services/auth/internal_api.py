"""The route that only tasks may use; see :mod:`contracts.internal`. The gateway does not forward it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from contracts.internal import PROFILE_PATH
from contracts.public import Profile, UserId
from services.auth.profiles import profile
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
