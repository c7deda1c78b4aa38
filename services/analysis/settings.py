"""What the analysis service can be told."""

from typing import Literal

from pydantic import Field

from services.chassis.settings import HttpUrl, Port, Secret, ServerUrl, ServiceSettings


class AnalysisSettings(ServiceSettings):
    """The analysis service's environment."""

    port: Port = Field(8003, description="port to listen on (health only)")
    metrics_port: Port | None = Field(9003, description="port of `/metrics`")
    rabbitmq_url: ServerUrl = Field(description="RabbitMQ, `amqp://user:password@host:5672/`")
    tasks_url: HttpUrl = Field(description="the tasks service, which keeps the photos")
    service_token: Secret = Field(description="what analysis proves itself with to tasks; at least 16 characters")
    analyzer: Literal["thermography", "mock"] = Field(
        "thermography", description="`mock` writes the old backend's constants"
    )
    mock_seconds: float = Field(3.0, ge=0, le=60, description="how long the mock takes")
    analysis_seconds: float = Field(
        30.0, gt=0, le=600, description="a job's analysis is killed and ended after so long"
    )
    analysis_workers: int | None = Field(None, ge=1, le=128, description="worker processes; by default one per core")
