"""What a page or an app needs to know before somebody signs in."""

from contracts.public import SignInIssuer, SignInOptions
from services.chassis.issuers import DISCOVERY_PATH
from services.chassis.people import GOOGLE_ISSUER
from services.chassis.settings import SignInSettings


def sign_in_options(settings: SignInSettings, development_token_url: str | None) -> SignInOptions:
    """Return the issuers whose ID tokens are accepted; the development issuer in the place of Google."""
    issuers = [_issuer(issuer.url, issuer.audiences) for issuer in settings.oidc_issuers]
    if settings.google_client_ids and development_token_url is None:
        issuers.insert(0, _issuer(GOOGLE_ISSUER, settings.google_client_ids))
    elif development_token_url is not None:
        development = SignInIssuer(
            issuer=GOOGLE_ISSUER,
            clientIds=settings.google_client_ids,
            discovery=None,
            developmentTokenUrl=development_token_url,
        )
        issuers.insert(0, development)
    return SignInOptions(issuers=tuple(issuers))


def _issuer(url: str, client_ids: tuple[str, ...]) -> SignInIssuer:
    return SignInIssuer(issuer=url, clientIds=client_ids, discovery=url.rstrip("/") + DISCOVERY_PATH)
