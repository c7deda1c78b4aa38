"""Issuers of tokens like Google's and like auth's, with keys of their own, and the documents that publish the keys."""

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

CLIENT_ID = "app.apps.example"


@cache
def _rsa_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


class Google:
    """Signs ID tokens in Google's form."""

    def __init__(self) -> None:
        self._key = _rsa_key()
        self.certificates = json.dumps(
            {"keys": [{**RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": "g1", "alg": "RS256"}]}
        ).encode()

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        usual = {
            "iss": "https://accounts.google.com",
            "aud": CLIENT_ID,
            "sub": "1234567890",
            "email": "someone@example.com",
            "email_verified": True,
            "iat": now,
            "exp": now + 600,
        }
        return jwt.encode({**usual, **claims}, self._key, "RS256", headers={"kid": "g1"})


class Auth:
    """Signs access tokens in auth's form."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        self.jwks = json.dumps(
            {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a1", "alg": "EdDSA", "use": "sig", "x": x}]}
        ).encode()

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        ours = "home-energy-audit"
        usual = {"iss": ours, "aud": ours, "sub": "someone@example.com", "iat": now, "exp": now + 600}
        said = {**usual, **claims}
        name = said["sub"].lower()  # the person of whom Google's tokens are, or another one
        person = "1234567890" if name == "someone@example.com" else f"person called {name}"
        return jwt.encode({"person": person, "names": [name], **said}, self._key, "EdDSA", headers={"kid": "a1"})
