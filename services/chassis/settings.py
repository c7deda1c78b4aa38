"""Settings come from the environment alone, and a wrong one ends the start with one clear line per fault.

A secret that is an example or easy to guess is wrong. The embedded backend makes its own at random.
"""

from ipaddress import ip_address
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.chassis.startup import StartupError


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    if not names_a_server(value):
        raise ValueError("must name a host, and a port only as a number")
    return value.rstrip("/")


def names_a_server(url: str) -> bool:
    """Whether ``url`` has a host, and a port that can be one if it has any."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether ``host`` is only reached from this machine, by its name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# Parts of what people write who mean to write something better later. Random values have none of them by chance.
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "example", "letmein")
_EXAMPLES = (*_PLACEHOLDERS, "password", "secret", "default", "12345678")
_LEAST_SECRET, _LEAST_DIFFERENT = 16, 6


def is_guessable(secret: str | bytes) -> bool:
    """Whether ``secret`` is an example, a repetition or a sequence, as anybody would try it first."""
    secret = secret.encode() if isinstance(secret, str) else secret
    if any(example.encode() in secret.lower() for example in _EXAMPLES):
        return True
    repeats = secret in (secret + secret)[1:-1]
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    return repeats or len(steps) <= 1 or len(set(secret)) < _LEAST_DIFFERENT


def _secret(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if len(secret) < _LEAST_SECRET:
        raise ValueError(f"must have at least {_LEAST_SECRET} characters; make one with `openssl rand -hex 32`")
    if is_guessable(secret):
        raise ValueError("is an example, or easy to guess; make one with `openssl rand -hex 32`")
    return value


def _server_url(value: str) -> str:
    """Refuse a password that was meant to be replaced; how good another one is, is for its server to judge."""
    try:
        password = unquote(urlsplit(value).password or "").lower()
    except ValueError:
        return value  # no URL: whoever connects says so
    if any(placeholder in password for placeholder in _PLACEHOLDERS):
        raise ValueError(
            "has a password out of an example; give the server's user another, `openssl rand -hex 32` makes one"
        )
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ServerUrl = Annotated[str, AfterValidator(_server_url)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Port = Annotated[int, Field(ge=1, le=65535)]
AuthMode = Literal["required", "legacy"]


class Issuer(NamedTuple):
    """An OpenID Connect issuer, and whom its tokens are to be made for: the client ids of the app."""

    url: str
    audiences: tuple[str, ...]


def is_safe_url(url: str) -> bool:
    """Return whether what is fetched from ``url`` is its server's word: over https, or on this machine."""
    if not names_a_server(url):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _issuers(value: Any) -> Any:
    """``https://issuer client-id client-id, https://issuer client-id``."""
    if not isinstance(value, str):
        return value
    issuers = []
    for entry in filter(None, map(str.strip, value.split(","))):
        url, *audiences = entry.split()
        if not is_safe_url(url) or urlsplit(url).query or urlsplit(url).fragment:
            raise ValueError("each issuer must be an https address, as its tokens name it")
        if not audiences:
            raise ValueError("each issuer needs a client id behind its address, after a space")
        if urlsplit(url).hostname == "accounts.google.com":
            raise ValueError("Google's client ids belong into GOOGLE_CLIENT_IDS")
        issuers.append(Issuer(url, tuple(audiences)))
    if len({issuer.url for issuer in issuers}) < len(issuers):
        raise ValueError("an issuer is named twice; give it all of its client ids at once")
    return tuple(issuers)


OidcIssuers = Annotated[tuple[Issuer, ...], NoDecode, BeforeValidator(_issuers)]


class ServiceSettings(BaseSettings):
    """What every process can be told."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; `0.0.0.0` in a container")
    port: Port = Field(description="port to listen on")
    metrics_port: Port | None = Field(
        None, description="port of `/metrics`, on the same address; it is never served on `PORT`"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="one JSON object a line, or coloured text")


class SignInSettings(ServiceSettings):
    """What every process that checks tokens can be told."""

    auth_mode: AuthMode = Field("required", description="`legacy` lets requests without a token in")
    oidc_issuers: OidcIssuers = Field(
        (),
        description="OpenID Connect issuers whose ID tokens are accepted, comma separated: the address, a space, and "
        "the client ids (`https://appleid.apple.com com.example.app, https://login.example.org web phone`)",
    )
    google_client_ids: CommaSeparated = Field(
        (),
        validate_default=True,
        description="audiences of accepted Google ID tokens, comma separated; needed unless OIDC_ISSUERS is set",
    )
    google_certs_url: HttpUrl = Field(
        "https://www.googleapis.com/oauth2/v1/certs", description="where the certificates of Google's ID tokens are"
    )

    @field_validator("google_client_ids")
    @classmethod
    def _someone_signs_in(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("oidc_issuers") == ():
            raise ValueError("is not set, and neither is OIDC_ISSUERS: nobody could sign in")
        return value


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S], **values: Any) -> S:
    """Read ``settings`` from the environment; ``values`` win over it.

    Raises :class:`StartupError` with one line per fault, naming the environment variable. Values are not repeated:
    they may be secrets.
    """
    try:
        return settings(**values)
    except ValidationError as error:
        _refuse(error)


_REASONS = {"missing": "is not set", "too_short": "names nothing"}  # where the library's words help nobody


def _refuse(error: ValidationError) -> NoReturn:
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
        reason = _REASONS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {reason[0].lower() + reason[1:]}")
    raise StartupError("Wrong settings. " + "; ".join(lines) + ".") from None
