"""The people whose phones ask: each with an access token of their own, and each in turn.

One person alone would be a load that no system has: thousands of unfinished jobs of one account. The tokens are signed
here, with the key that auth is given, as auth signs them.
"""

import time
from dataclasses import dataclass

from services.auth.signing import Signer
from services.chassis.identity import LONGEST_LIFE_SECONDS
from services.chassis.people import Identity
from tests.benchmarks.growth import person

PEOPLE = 500


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in."""

    uid: str
    token: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job, and whose it is."""

    id: str
    person: Person


def people(seed: bytes) -> list[Person]:
    """PEOPLE with tokens that hold for a day, signed with the key of ``seed``."""
    signer = Signer([seed], LONGEST_LIFE_SECONDS)
    present = int(time.time())
    return [Person(person(number), signer.sign(_identity(person(number), present))) for number in range(PEOPLE)]


def _identity(uid: str, present: int) -> Identity:
    return Identity(f"subject of {uid}", frozenset({uid}), present, uid, uid)
