"""What the tasks service can be told."""

from pydantic import Field, ValidationInfo, field_validator

from services.chassis.settings import HttpUrl, Port, Secret, ServerUrl, SignInSettings

MIB = 1024 * 1024
# An upload may take 300 s (the gateway sees to that), and the clock that its photos were dated by may be 300 s off.
LEAST_GRACE_SECONDS = 600


class TasksSettings(SignInSettings):
    """The tasks service's environment."""

    port: Port = Field(8002, description="port to listen on")
    metrics_port: Port | None = Field(9002, description="port of `/metrics`")
    sql_url: ServerUrl = Field(description="MySQL (or SQLite) for tasks; without a database name the old backend's")
    mongo_url: ServerUrl = Field(description="MongoDB for photos; without a database name `LeakageImages`")
    rabbitmq_url: ServerUrl = Field(description="RabbitMQ, `amqp://user:password@host:5672/`")
    auth_url: HttpUrl = Field(description="the auth service, whose keys access tokens are checked by")
    service_token: Secret = Field(
        description="what services prove themselves with to each other; at least 16 characters"
    )
    max_photo_bytes: int = Field(25 * MIB, ge=1024, description="largest photo, in bytes")
    max_photos: int = Field(100, ge=1, le=1000, description="most photos in a submission")
    max_unfinished_jobs: int = Field(
        100, ge=1, description="most jobs of one person that have not ended; beyond it submissions are answered 429"
    )
    max_outbox_rows: int = Field(
        10_000,
        ge=1,
        description="most events that wait for the broker; beyond it submissions are answered 503",
    )
    max_stored_bytes: int = Field(
        5 * 1024 * MIB,
        ge=MIB,
        description="most bytes of photos and report images that are kept of one person; beyond it submissions are "
        "answered 413. Replaced photos, until they are removed, may take as much again",
    )
    max_tasks: int = Field(
        2_000, ge=1, description="most tasks of one person; beyond it submissions of new ones are answered 429"
    )
    job_republish_seconds: float = Field(
        30, gt=0, description="an unfinished job is announced to analysis again after so long, if nothing is queued"
    )
    job_deadline_seconds: float = Field(
        900,
        gt=0,
        description="an unfinished job ends as an error so long after its announcement to analysis (waiting for "
        "another job of the same person does not count); while results wait in their queue, or RabbitMQ is away, "
        "after PHOTO_GRACE_SECONDS",
    )
    photo_grace_seconds: float = Field(
        3600,
        gt=0,
        validate_default=True,
        description="photos that nothing refers to are removed after so long; longer than any upload and any job",
    )

    retention_days: int = Field(
        0, ge=0, description="submissions that have not changed for so many days are erased; 0 keeps them"
    )

    @field_validator("photo_grace_seconds")
    @classmethod
    def _outlasts_jobs(cls, value: float, info: ValidationInfo) -> float:
        # The picture of a report is referred to once its job has ended: until then it must not pass for an orphan.
        if value <= info.data.get("job_deadline_seconds", 0):
            raise ValueError("must be longer than JOB_DEADLINE_SECONDS")
        if value < LEAST_GRACE_SECONDS:
            raise ValueError(f"must be at least {LEAST_GRACE_SECONDS}: an upload may take 300")
        return value
