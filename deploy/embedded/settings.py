"""What the embedded backend can be told. The services' own settings (``MAX_PHOTOS``, …) hold here too."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.chassis.settings import AuthMode, CommaSeparated, OidcIssuers, Port, ServiceSettings, is_loopback


class EmbeddedSettings(ServiceSettings):
    """The embedded backend's environment."""

    port: Port = Field(8000, description="port to listen on")
    log_format: Literal["json", "console"] = Field("console", description="one JSON object a line, or coloured text")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="least level that is logged")
    data_dir: Path = Field(Path(".data"), description="folder for everything that is kept")
    auth_mode: AuthMode | None = Field(
        None, description="by default `legacy` when HOST is a loopback address, otherwise `required`"
    )
    oidc_issuers: OidcIssuers = Field((), description="sign in with these OpenID Connect issuers")
    google_client_ids: CommaSeparated = Field(
        (),
        description="sign in with Google; without it and OIDC_ISSUERS a development issuer signs, for callers on this "
        "machine only",
    )

    @property
    def has_development_issuer(self) -> bool:
        """Whether a stand-in for Google signs for anybody: only where nobody else can be asked."""
        return not self.google_client_ids and not self.oidc_issuers

    @property
    def mode(self) -> AuthMode:
        """The mode in force: without a token nobody gets in from another machine, unless somebody says so."""
        return self.auth_mode or ("legacy" if is_loopback(self.host) else "required")
