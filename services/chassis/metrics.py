"""Figures for operators, in Prometheus' form, on a port of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from services.chassis.startup import StartupError


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every metric of a process. One per process: services that share one tell themselves apart by a label."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    http_requests: Counter = field(init=False)
    http_seconds: Histogram = field(init=False)
    requests_refused: Counter = field(init=False)
    events_published: Counter = field(init=False)
    events_handled: Counter = field(init=False)
    event_seconds: Histogram = field(init=False)
    outbox_rows: Gauge = field(init=False)
    outbox_oldest_seconds: Gauge = field(init=False)
    jobs_unfinished: Gauge = field(init=False)
    jobs_waiting: Gauge = field(init=False)
    jobs_unfinished_seconds: Gauge = field(init=False)
    jobs_ended: Counter = field(init=False)
    orphan_photos: Counter = field(init=False)
    orphan_images: Gauge = field(init=False)
    report_images_lost: Counter = field(init=False)
    dead_letters: Gauge = field(init=False)

    def __post_init__(self) -> None:
        """Register the metrics."""

        def make(name: str, metric: Counter | Gauge | Histogram) -> None:
            object.__setattr__(self, name, metric)

        r = self.registry
        http = ["service", "method", "route", "status"]
        make("http_requests", Counter("http_requests", "Requests answered", http, registry=r))
        make("http_seconds", Histogram("http_seconds", "Seconds to answer", ["service", "route"], registry=r))
        refused = "Requests that a limit of the gateway refused, by what was counted"
        make("requests_refused", Counter("requests_refused", refused, ["limit", "by"], registry=r))
        published = ["service", "type", "outcome"]
        make("events_published", Counter("events_published", "Events given to the broker", published, registry=r))
        handled = ["queue", "type", "outcome"]
        make("events_handled", Counter("events_handled", "Deliveries, by how they ended", handled, registry=r))
        make("event_seconds", Histogram("event_seconds", "Seconds to handle a delivery", ["queue"], registry=r))
        make("outbox_rows", Gauge("outbox_rows", "Events not yet published", ["service"], registry=r))
        oldest = "Age of the oldest event not yet published"
        make("outbox_oldest_seconds", Gauge("outbox_oldest_seconds", oldest, ["service"], registry=r))
        make("jobs_unfinished", Gauge("jobs_unfinished", "Jobs without an end", registry=r))
        waiting = "Of them, jobs that wait for another job of the same person"
        make("jobs_waiting", Gauge("jobs_waiting", waiting, registry=r))
        make("jobs_unfinished_seconds", Gauge("jobs_unfinished_seconds", "Age of the oldest other", registry=r))
        make("jobs_ended", Counter("jobs_ended", "Jobs, by how they ended", ["outcome"], registry=r))
        make("orphan_photos", Counter("orphan_photos", "Photos that nothing referred to, removed", registry=r))
        orphans = "Photos that nothing referred to, as the last search found them"
        make("orphan_images", Gauge("orphan_images", orphans, registry=r))
        lost = "Answers with a report whose image is not whole any more"
        make("report_images_lost", Counter("report_images_lost", lost, registry=r))
        make("dead_letters", Gauge("dead_letters", "Deliveries that failed for good", ["queue"], registry=r))


@contextmanager
def served(metrics: Metrics, host: str, port: int | None) -> Iterator[None]:
    """Serve ``/metrics`` on ``host:port`` from a thread while the context lasts; nothing when ``port`` is None."""
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry=metrics.registry)
    except OSError as error:
        raise StartupError(f"Cannot serve metrics on {host}:{port} ({error.strerror}); set METRICS_PORT.") from None
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=2)
