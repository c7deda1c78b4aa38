"""What the gateway can be told."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from gateway.rates import Rate
from services.chassis.settings import HttpUrl, Networks, Port, SignInSettings


def _limit(value: object) -> object:
    if not isinstance(value, str):
        return value
    return None if value.strip().lower() == "off" else Rate.parse(value)


Limit = Annotated[Rate | None, NoDecode, BeforeValidator(_limit)]


class GatewaySettings(SignInSettings):
    """The gateway's environment."""

    port: Port = Field(8000, description="port to listen on")
    metrics_port: Port | None = Field(9000, description="port of `/metrics`")
    auth_url: HttpUrl = Field(description="where auth listens, `http://auth:8001`")
    tasks_url: HttpUrl = Field(description="where tasks listens, `http://tasks:8002`")
    max_upload_bytes: int = Field(160 * 2**20, ge=1, description="largest body of a submission, all photos together")
    trusted_proxies: Networks = Field(
        (),
        description="networks of the proxies in front of the gateway (`10.0.0.0/8, 2001:db8::/32`), whose "
        "`X-Forwarded-For` tells the client's address; without them the connection's peer is the client",
    )
    people_per_address: int = Field(
        10,
        ge=1,
        le=100_000,
        description="how many people may share an address (an IPv6 /64): one may do so many times what the `LIMIT_…` "
        "allow a person, and requests without a token are counted by it alone",
    )
    limit_login: Limit = Field(Rate(10, 60), description="sign-ins of a person, counted by address; `off` for no limit")
    limit_submit: Limit = Field(Rate(60, 60), description="submissions of a person; `off` for no limit")
    limit_poll: Limit = Field(
        Rate(600, 60), description="questions of a person whether jobs are done; `off` for no limit"
    )
    limit_account: Limit = Field(
        Rate(10, 60), description="sign-outs, deletions and exports of a person; `off` for no limit"
    )
    limit_other: Limit = Field(Rate(120, 60), description="any other requests of a person; `off` for no limit")
    uploads_per_person: int = Field(
        32,
        ge=1,
        description="requests of a person with a body (submissions, above all) that may be under way",
    )
    uploads_at_once: int = Field(512, ge=1, description="the same for everybody together, in each gateway process")
    downloads_per_person: int = Field(
        32, ge=1, description="requests of a person without a body (polls, photos) that may be under way at a time"
    )
    downloads_at_once: int = Field(512, ge=1, description="the same for everybody together, in each gateway process")
