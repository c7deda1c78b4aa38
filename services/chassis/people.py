"""The person that a token proves, and the account that is this person's.

A person is told from another by issuer and subject alone: addresses change hands. The account of an ID token is known
to auth (``services.auth.accounts``); our own access tokens name it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from contracts.user_ids import normalised

GOOGLE_ISSUER = "https://accounts.google.com"
LONGEST_ID = 255  # characters of a subject, of an address, and of what a database holds as an id
_DIGEST_PREFIX = "person-"


def person_id(issuer: str, subject: str) -> str:
    """Return the id of a person at an issuer. It holds no ``@``, so no address can be mistaken for it.

    For Google it is the subject itself: the releases before named accounts so.
    """
    is_plain = "@" not in subject and not subject.startswith(_DIGEST_PREFIX) and len(subject) <= LONGEST_ID
    if issuer == GOOGLE_ISSUER and is_plain:
        return subject
    return _DIGEST_PREFIX + hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """A person whose token was good.

    ``names`` are what the person may be called in requests. ``proved_at`` (Unix time in seconds) is when the issuer
    said so: when the ID token was issued that was sent, or that an access token was given for. What a sign-out refuses
    is decided by it. ``account`` is None until somebody asked auth for it.
    """

    person: str
    names: frozenset[str]
    proved_at: int
    email: str | None = None  # verified by the issuer
    account: str | None = None

    @property
    def user_ids(self) -> frozenset[str]:
        """Every id under which rows of this person may lie: the account's, and the one of before it was bound."""
        return frozenset({self.person} if self.account is None else {self.person, self.account})

    def may_use(self, user_id: str) -> bool:
        """Return whether ``user_id`` is a name of this person."""
        return normalised(user_id) in self.names

    def with_account(self, account: str, names: Iterable[str] = ()) -> "Identity":
        """Return the person with the account, and with more names."""
        return replace(self, account=account, names=self.names | frozenset(names))
