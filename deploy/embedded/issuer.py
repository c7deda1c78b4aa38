"""Sign-in for development: an issuer of tokens shaped like Google's, signed with a key of its own.

The rest of the system checks them exactly as it checks Google's; only the certificates' URL and the client id differ.
Since it signs for any address, it answers only callers on this machine who know that they talk to it: a page in a
browser here, whose name was made to lead to this machine, still asks under that name.
"""

import json
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from services.chassis.problems import Problem, install_problems
from services.chassis.settings import is_loopback

CLIENT_ID = "development"
KEY_ID = "development"
TOKEN_PATH = "/token"  # noqa: S105 - not a secret
LIFETIME_SECONDS = 3600


class TokenRequest(BaseModel):
    """Whom to sign a token for."""

    email: str = Field(min_length=3, max_length=254, pattern="@", examples=["someone@example.com"])


class TokenAnswer(BaseModel):
    """A token to log in with."""

    id_token: str
    expires_in: int


def new_key() -> bytes:
    """A private RSA key in PEM."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _asks_this_machine(request: Request) -> bool:
    """Whether the client calls us by a name of this machine: a page can give its own name our address."""
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104 - what HOST may be, and so what our hint says


def create_issuer(pem: bytes) -> FastAPI:
    """``POST /token`` signs, ``GET /certs`` publishes the key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the issuer's key must be an RSA key")
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    app = FastAPI(title="development issuer", docs_url=None, redoc_url=None, openapi_url=None)
    install_problems(app)

    @app.get("/certs")
    async def certs() -> dict[str, list[dict[str, Any]]]:
        return {"keys": [{**jwk, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}

    @app.post(TOKEN_PATH)
    async def token(request: Request, body: TokenRequest) -> TokenAnswer:
        if request.client is None or not is_loopback(request.client.host) or not _asks_this_machine(request):
            raise Problem(403, "Development tokens are signed for callers on the backend's own machine only.")
        present = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": CLIENT_ID,
            "sub": f"development-{body.email.lower()}",
            "email": body.email,
            "email_verified": True,
            "iat": present,
            "exp": present + LIFETIME_SECONDS,
        }
        signed = jwt.encode(claims, key, algorithm="RS256", headers={"kid": KEY_ID})
        return TokenAnswer(id_token=signed, expires_in=LIFETIME_SECONDS)

    return app
