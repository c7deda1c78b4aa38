"""The gateway's own routes: signs of life, and the documentation of the public API."""

import asyncio
from importlib.resources import files
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse

from contracts.public import ServiceStatus
from gateway import documentation

DOCS_ASSETS = "/docs/assets"
# Swagger UI runs where the API is and is given tokens: it comes from a locked package, and a page of ours loads
# nothing from elsewhere. (Its start is an inline script, its pictures are data URLs.)
_DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

router = APIRouter(tags=["status"])


@router.get("/", summary="The system")
async def system_status() -> ServiceStatus:
    """A sign of life."""
    return ServiceStatus(status="home energy audit backend is running", service="gateway")


@router.get("/auth", include_in_schema=False)
@router.get("/auth/", summary="Sign-in and profiles")
async def auth_status() -> ServiceStatus:
    """A sign of life."""
    return ServiceStatus(status="auth service is running", service="auth")


@router.get("/leakage", include_in_schema=False)
@router.get("/leakage/", summary="Leak detection")
async def leakage_status() -> ServiceStatus:
    """A sign of life."""
    return ServiceStatus(status="leakage service is running", service="leakage")


@router.get("/openapi.json", include_in_schema=False)
async def openapi() -> Response:
    """The public API of all services, for machines."""
    return Response(
        await asyncio.to_thread(documentation.committed_openapi, documentation.COMMITTED), media_type="application/json"
    )


@router.get(f"{DOCS_ASSETS}/{{name}}", include_in_schema=False)
async def docs_asset(name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> FileResponse:
    """What the page for people is made of."""
    return FileResponse(str(files("fastapi_offline") / "static" / name))


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """The same for people."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Home energy audit: API",
        swagger_js_url=f"{DOCS_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{DOCS_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{DOCS_ASSETS}/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _DOCS_POLICY
    return page
