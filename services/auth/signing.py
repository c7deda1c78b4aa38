"""Access tokens: short-lived JWTs signed with Ed25519, and the JWKS by which others check them.

Keys are given as 32-byte seeds. The first signs; all are published, so that a key is rotated without a pause by
putting the new one second, then first, and dropping the old one when its last token has run out.
"""

import base64
import binascii
import hashlib
import json
import time
import uuid
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.identity import ACCESS_ALGORITHM, ACCESS_AUDIENCE, ACCESS_ISSUER
from services.chassis.people import Identity


def decode_seeds(text: str) -> list[bytes]:
    """The seeds in a comma separated list of base64. Raises :class:`ValueError` without repeating any."""
    seeds = []
    for part in text.split(","):
        try:
            seed = base64.b64decode(part.strip(), validate=True)
        except binascii.Error:
            raise ValueError("must be base64; make one with `openssl rand -base64 32`") from None
        if len(seed) != 32:
            raise ValueError("each key must be 32 bytes in base64; make one with `openssl rand -base64 32`")
        seeds.append(seed)
    return seeds


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    private: Ed25519PrivateKey
    public: bytes

    @classmethod
    def of(cls, seed: bytes) -> "_Key":
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        return cls(hashlib.sha256(public).hexdigest()[:16], private, public)


class Signer:
    """Signs access tokens, and publishes the keys to check them by."""

    def __init__(self, seeds: list[bytes], lifetime_seconds: int) -> None:
        self._keys = [_Key.of(seed) for seed in seeds]
        self.lifetime_seconds = lifetime_seconds

    def sign(self, identity: Identity) -> str:
        """Return a token that proves the person for ``lifetime_seconds``. The account must be known.

        The token carries when the ID token was issued that it is given for: a sign-out that refuses the one refuses
        the other, whenever they were traded. It also carries who the person is and its names, so that no service has
        to ask for them.
        """
        key, present = self._keys[0], int(time.time())
        claims = {
            "iss": ACCESS_ISSUER,
            "aud": ACCESS_AUDIENCE,
            "sub": identity.account,
            "person": identity.person,
            "names": sorted(identity.names),
            "iat": present,
            "nbf": present,
            "auth_time": identity.proved_at,
            "exp": present + self.lifetime_seconds,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(claims, key.private, algorithm=ACCESS_ALGORITHM, headers={"kid": key.id})

    async def get(self) -> bytes:
        """The JWKS (RFC 8037) as JSON: with :meth:`refetch`, the source of keys for our own checks."""
        return json.dumps(
            {
                "keys": [
                    {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "use": "sig",
                        "alg": ACCESS_ALGORITHM,
                        "kid": key.id,
                        "x": base64.urlsafe_b64encode(key.public).rstrip(b"=").decode(),
                    }
                    for key in self._keys
                ]
            }
        ).encode()

    async def refetch(self) -> bytes:
        """The same: our own keys do not change while we run."""
        return await self.get()
