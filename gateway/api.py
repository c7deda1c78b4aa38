"""The gateway's own routes: signs of life, and the documentation of the public API."""

import asyncio

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html

from contracts.public import ServiceStatus
from gateway import documentation

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


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """The same for people. The page loads Swagger UI from a public CDN, so a browser needs the internet for it."""
    return get_swagger_ui_html(openapi_url="/openapi.json", title="Home energy audit: API")
