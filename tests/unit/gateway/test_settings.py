"""What the gateway can be told, and what it refuses to be told."""

from ipaddress import ip_network

import pytest

from gateway.rates import Rate
from gateway.settings import GatewaySettings
from services.chassis.settings import Issuer, load
from services.chassis.startup import StartupError

ENVIRONMENT = {"AUTH_URL": "http://auth:8001/", "TASKS_URL": "http://tasks:8002", "GOOGLE_CLIENT_IDS": "a, b"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_least_that_must_be_said_is_enough(environment: pytest.MonkeyPatch):
    settings = load(GatewaySettings)
    assert (settings.port, settings.metrics_port, settings.auth_mode) == (8000, 9000, "required")
    assert (settings.auth_url, settings.google_client_ids) == ("http://auth:8001", ("a", "b"))
    assert settings.max_upload_bytes == 160 * 1024 * 1024
    assert (str(settings.limit_login), settings.trusted_proxies) == ("10/minute", ())


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_what_must_be_said_is_asked_for_by_its_name(environment: pytest.MonkeyPatch, name: str):
    environment.delenv(name)
    with pytest.raises(StartupError, match=rf"^Wrong settings\. {name}: is not set"):
        load(GatewaySettings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_URL", "auth:8001"),
        ("AUTH_MODE", "none"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("MAX_UPLOAD_BYTES", "many"),
        ("GOOGLE_CLIENT_IDS", ","),
        ("OIDC_ISSUERS", "https://login.example.org"),
        ("OIDC_ISSUERS", "http://login.example.org client"),
        ("OIDC_ISSUERS", "login.example.org client"),
        ("OIDC_ISSUERS", "https://login.example.org?x=1 client"),
        ("OIDC_ISSUERS", "https://accounts.google.com client"),
        ("OIDC_ISSUERS", "https://login.example.org a, https://login.example.org b"),
        ("PORT", "70000"),
        ("LIMIT_LOGIN", "20"),
        ("LIMIT_POLL", "0/minute"),
        ("LIMIT_OTHER", "none"),
        ("PEOPLE_PER_ADDRESS", "0"),
        ("UPLOADS_AT_ONCE", "0"),
        ("DOWNLOADS_PER_PERSON", "off"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(environment: pytest.MonkeyPatch, name: str, value: str):
    environment.setenv(name, value)
    with pytest.raises(StartupError, match=rf"^Wrong settings\. {name}: "):
        load(GatewaySettings)


def test_several_issuers_are_named_with_their_client_ids(environment: pytest.MonkeyPatch):
    apple, own = Issuer("https://appleid.apple.com", ("com.example",)), Issuer("http://[::1]:9/realm", ("web", "phone"))
    environment.setenv("OIDC_ISSUERS", "https://appleid.apple.com com.example , http://[::1]:9/realm web  phone,")
    assert load(GatewaySettings).oidc_issuers == (apple, own)


def test_a_self_hoster_starts_without_google(environment: pytest.MonkeyPatch):
    environment.delenv("GOOGLE_CLIENT_IDS")
    environment.setenv("OIDC_ISSUERS", "https://login.example.org client")
    assert load(GatewaySettings).google_client_ids == ()


def test_a_limit_is_a_rate_or_off(environment: pytest.MonkeyPatch):
    environment.setenv("LIMIT_SUBMIT", "5/hour")
    environment.setenv("LIMIT_POLL", "Off")
    settings = load(GatewaySettings)
    assert (settings.limit_submit, settings.limit_poll) == (Rate(5, 3600), None)


def test_trusted_proxies_are_networks_and_addresses_of_both_families(environment: pytest.MonkeyPatch):
    environment.setenv("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1 ,2001:db8::/32")
    networks = tuple(ip_network(text) for text in ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"))
    assert load(GatewaySettings).trusted_proxies == networks
