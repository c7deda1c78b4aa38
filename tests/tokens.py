"""Issuers of tokens for the tests: shaped like Google's, or like our own, and as wrong as a test wants them."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from services.chassis.identity import ACCESS_AUDIENCE, ACCESS_ISSUER
from services.chassis.people import GOOGLE_ISSUER, Identity, person_id

CLIENT_ID = "client-id.apps.example.com"
EMAIL = "someone@example.com"
SUBJECT = "110169484474386276334"


def segment(value: object) -> str:
    """A part of a JWT; bytes go in as they are, anything else as JSON."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class GoogleIssuer:
    """Signs ID tokens with an RSA key, and publishes it as Google does."""

    key_id: str = "google-key-1"
    key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(public_exponent=65537, key_size=2048))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says, with ``changes``; a change to ``...`` leaves the claim out."""
        present = int(time.time())
        good = {
            "iss": "https://accounts.google.com",
            "aud": CLIENT_ID,
            "sub": SUBJECT,
            "email": EMAIL,
            "email_verified": True,
            "iat": present,
            "exp": present + 3600,
        }
        return {name: value for name, value in (good | changes).items() if value is not ...}

    def token(self, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A token signed with our key."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id, **(headers or {})}
        return self.sign(segment(head) + "." + segment(self.claims(**changes)))

    def sign(self, signed: str) -> str:
        """``signed`` (header and payload) with an RS256 signature, whatever they say."""
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        return f"{signed}.{segment(algorithm.sign(signed.encode(), self.key))}"

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def certificate(self) -> str:
        """A certificate of our key, as ``https://www.googleapis.com/oauth2/v1/certs`` has them."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example.com")])
        present = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(present - timedelta(days=1))
            .not_valid_after(present + timedelta(days=7))
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(Encoding.PEM).decode()

    @property
    def jwk(self) -> dict[str, Any]:
        """Our key, as ``https://www.googleapis.com/oauth2/v3/certs`` has them."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {**public, "kid": self.key_id, "use": "sig", "alg": "RS256"}

    def certificates(self) -> bytes:
        return json.dumps({self.key_id: self.certificate}).encode()

    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.jwk]}).encode()


@dataclass
class AccessIssuer:
    """Signs access tokens as auth does."""

    seed: bytes = b"s" * 32

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self.public).hexdigest()[:16]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says, with ``changes``; a change to ``...`` leaves the claim out."""
        present = int(time.time())
        good = {
            "iss": ACCESS_ISSUER,
            "aud": ACCESS_AUDIENCE,
            "sub": EMAIL,
            "iat": present,
            "nbf": present,
            "exp": present + 3600,
        }
        return {name: value for name, value in (good | changes).items() if value is not ...}

    def token(self, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A token signed with our key."""
        head = {"alg": "EdDSA", "typ": "JWT", "kid": self.key_id, **(headers or {})}
        signed = segment(head) + "." + segment(self.claims(**changes))
        return f"{signed}.{segment(self.key.sign(signed.encode()))}"

    @property
    def jwk(self) -> dict[str, Any]:
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": self.key_id,
            "x": segment(self.public),
        }

    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.jwk]}).encode()


def proved(*names: str, at: int | None = None) -> Identity:
    """Whom a good Google token proves that was issued at ``at``, by default now.

    ``names``: the address, and the subject; a subject of the person's own when there is none among them.
    """
    email = next((name for name in names if "@" in name), None)
    subject = next((name for name in names if "@" not in name), f"subject of {email}")
    known = frozenset({subject} if email is None else {subject, email})
    return Identity(person_id(GOOGLE_ISSUER, subject), known, int(time.time()) if at is None else at, email)


def proved_by_access_token(account: str, at: int | None = None) -> Identity:
    """Whom an access token of :class:`AccessIssuer` proves, which names nothing but an account."""
    return Identity(account, frozenset({account}), int(time.time()) if at is None else at, account=account)


@dataclass
class Published:
    """Keys as a service reads them, without a server: what is published now, and what was seen before."""

    now: bytes
    before: bytes | None = None
    refetched: int = 0

    async def get(self) -> bytes:
        return self.now if self.before is None else self.before

    async def refetch(self) -> bytes:
        self.refetched += 1
        self.before = None
        return self.now
