"""What the gateway can be told."""

from pydantic import Field

from services.chassis.settings import AuthMode, CommaSeparated, HttpUrl, Port, ServiceSettings


class GatewaySettings(ServiceSettings):
    """The gateway's environment."""

    port: Port = Field(8000, description="port to listen on")
    metrics_port: Port | None = Field(9000, description="port of `/metrics`")
    auth_url: HttpUrl = Field(description="where auth listens, `http://auth:8001`")
    tasks_url: HttpUrl = Field(description="where tasks listens, `http://tasks:8002`")
    auth_mode: AuthMode = Field("required", description="`legacy` lets requests without a token in")
    google_client_ids: CommaSeparated = Field(
        min_length=1, description="audiences of accepted Google ID tokens, comma separated"
    )
    google_certs_url: HttpUrl = Field(
        "https://www.googleapis.com/oauth2/v1/certs", description="where the certificates of ID tokens are"
    )
    max_upload_bytes: int = Field(160 * 2**20, ge=1, description="largest body of a submission, all photos together")
