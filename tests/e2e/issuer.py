"""An issuer of Google-shaped tokens for tests: certificates as Google publishes them (X.509 in PEM), over HTTP."""

import datetime
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

CLIENT_ID = "tests.apps.example"
KEY_ID = "test-key"


@dataclass(frozen=True)
class Issuer:
    """Signs tokens; ``port`` serves the certificates."""

    key: rsa.RSAPrivateKey
    port: int

    def token(self, email: str, **claims: object) -> str:
        """An ID token for ``email``; ``claims`` override any of its claims."""
        present = int(time.time())
        body = {
            "iss": "https://accounts.google.com",
            "aud": CLIENT_ID,
            "sub": f"subject-of-{email}",
            "email": email,
            "email_verified": True,
            "iat": present,
            "exp": present + 3600,
            **claims,
        }
        return jwt.encode(body, self.key, algorithm="RS256", headers={"kid": KEY_ID})


@contextmanager
def issuing(host: str = "0.0.0.0") -> Iterator[Issuer]:  # noqa: S104 - containers must reach it
    """Run an issuer that listens on ``host``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificates = json.dumps({KEY_ID: _certificate(key)}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Cache-Control", "public, max-age=3600")
            self.send_header("Content-Length", str(len(certificates)))
            self.end_headers()
            self.wfile.write(certificates)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Issuer(key, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test issuer")])
    present = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(present - datetime.timedelta(days=1))
        .not_valid_after(present + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
