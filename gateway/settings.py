"""What the gateway can be told."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from gateway.rates import Rate
from services.chassis.connections import OpenConnections
from services.chassis.settings import CommaSeparated, HttpUrl, Networks, Port, ServiceSettings, SignInSettings


def _limit(value: object) -> object:
    if not isinstance(value, str):
        return value
    return None if value.strip().lower() == "off" else Rate.parse(value)


Limit = Annotated[Rate | None, NoDecode, BeforeValidator(_limit)]


class DoorSettings(BaseSettings):
    """What holds for every connection, before a request was read."""

    model_config = ServiceSettings.model_config

    trusted_proxies: Networks = Field(
        (),
        description="networks of the proxies in front of the gateway (`10.0.0.0/8, 2001:db8::/32`), whose "
        "`X-Forwarded-For` tells the client's address; without them the connection's peer is the client",
    )
    connections_per_address: int = Field(
        256,
        ge=1,
        description="connections that an address (an IPv6 /64) may have open, those of trusted proxies excepted; "
        "beyond it, and beyond 4,096 in all (half of what `ulimit -n` allows, if that is less), a new one takes the "
        "place of the one that has been idle for longest",
    )

    def connections(self) -> OpenConnections:
        """The bounds on connections of the gateway's server."""
        return OpenConnections(most_of_client=self.connections_per_address, trusted=self.trusted_proxies)


class GatewaySettings(DoorSettings, SignInSettings):
    """The gateway's environment."""

    port: Port = Field(8000, description="port to listen on")
    metrics_port: Port | None = Field(9000, description="port of `/metrics`")
    auth_url: HttpUrl = Field(description="where auth listens, `http://auth:8001`")
    tasks_url: HttpUrl = Field(description="where tasks listens, `http://tasks:8002`")
    max_upload_bytes: int = Field(160 * 2**20, ge=1, description="largest body of a submission, all photos together")
    public_names: CommaSeparated = Field(
        (),
        description="names under which clients reach the gateway (`audit.example.org`). In legacy mode a request under "
        "another name is refused, IP addresses and `localhost` excepted",
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
    without_token_per_address: int = Field(
        16,
        ge=1,
        description="requests without a token that may be under way from an address (an IPv6 /64): of each, sign-ins, "
        "submissions and requests without a body",
    )
    without_token_at_once: int = Field(
        512, ge=1, description="the same for everybody together, in each gateway process"
    )
