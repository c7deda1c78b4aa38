"""What the auth service can be told."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.auth.signing import decode_seeds
from services.chassis.settings import (
    Port,
    Secret,
    ServerUrl,
    SignInSettings,
    is_guessable,
)


def _seeds(value: SecretStr) -> SecretStr:
    if any(is_guessable(seed) for seed in decode_seeds(value.get_secret_value())):
        raise ValueError("has a key that is an example, or easy to guess; make one with `openssl rand -base64 32`")
    return value


class AuthSettings(SignInSettings):
    """The auth service's environment."""

    port: Port = Field(8001, description="port to listen on")
    metrics_port: Port | None = Field(9001, description="port of `/metrics`")
    sql_url: ServerUrl = Field(description="MySQL (or SQLite) for users; without a database name the old backend's")
    rabbitmq_url: ServerUrl = Field(description="RabbitMQ, `amqp://user:password@host:5672/`")
    access_token_keys: Annotated[SecretStr, AfterValidator(_seeds)] = Field(
        description="Ed25519 seeds (`openssl rand -base64 32`), comma separated; the first signs, all are accepted"
    )
    service_token: Secret = Field(
        description="what services prove themselves with to each other; at least 16 characters"
    )
    access_token_seconds: int = Field(3600, ge=60, le=86400, description="how long an access token is good")
