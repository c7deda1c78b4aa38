"""The names on the broker: one topic exchange, and one queue per consuming service and purpose.

Tasks declares all of it when it starts, so that an event waits for a consumer that has never run yet. Other services
find it there, and need no right to change it.

Around each queue ``q`` stand ``q.retry.<n>ms``, where a failed delivery waits so long before it returns to ``q``, and
``q.dead``, where one lies that will not be tried again (a dead letter) until somebody replays it. A queue's arguments
cannot be changed once it exists; with the delay in its name, other delays make other queues.

The consumer of ``q`` sends to these queues through the exchange ``q.moves``, which leads to no others. The default
exchange would do, but whoever may send through it can send anything to anybody's queue.
"""

from dataclasses import dataclass

from contracts.events import (
    AccountBound,
    AccountDeleted,
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
    EventData,
    ProfileUpdated,
    SignedOut,
    TaskSubmitted,
)

EXCHANGE = "home-energy-audit.events"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue, the events that are routed to it (routing key: the event's type), and its patience.

    A delivery whose handler fails comes back after each of ``retry_delays`` (seconds) in turn, and then becomes a
    dead letter.
    """

    queue: str
    events: tuple[type[EventData], ...]
    retry_delays: tuple[float, ...]

    @property
    def dead_queue(self) -> str:
        """Where its dead letters lie."""
        return f"{self.queue}.dead"

    @property
    def moves(self) -> str:
        """The exchange through which its consumer moves a delivery to one of its queues; routing key: the queue."""
        return f"{self.queue}.moves"

    @property
    def queues(self) -> tuple[str, ...]:
        """The queue itself, and those around it."""
        retries = (self.retry_queue(number) for number in range(1, len(self.retry_delays) + 1))
        return tuple(dict.fromkeys((self.queue, self.dead_queue, *retries)))  # equal delays share a queue

    def retry_queue(self, delay_number: int) -> str:
        """Where a delivery waits for the delay of that number (1 for the first)."""
        return f"{self.queue}.retry.{round(self.retry_delays[delay_number - 1] * 1000)}ms"


# No delay is longer than LONGEST_DELAY: whatever was mended, what waited for it goes on within half a minute.
LONGEST_DELAY = 30.0
# A person waits 45 seconds for these, so the first retries come early.
ANALYSIS_SUBMISSIONS = Subscription(
    "analysis.submissions", (TaskSubmitted,), retry_delays=(1, 5, 20, LONGEST_DELAY, LONGEST_DELAY)
)
# Six minutes: the reader's only dependency is its own database, and one may take its time to restart.
_PATIENT = (0.5, 2, 10, *[LONGEST_DELAY] * 12)
TASKS_RESULTS = Subscription(
    "tasks.results", (AnalysisStarted, AnalysisCompleted, AnalysisFailed), retry_delays=_PATIENT
)
TASKS_PROFILES = Subscription("tasks.profiles", (ProfileUpdated,), retry_delays=_PATIENT)
TASKS_ACCOUNTS = Subscription("tasks.accounts", (SignedOut, AccountDeleted), retry_delays=_PATIENT)
# A queue of its own: the release before reads the others, and does not know this event.
TASKS_NAMES = Subscription("tasks.names", (AccountBound,), retry_delays=_PATIENT)

SUBSCRIPTIONS: tuple[Subscription, ...] = (
    ANALYSIS_SUBMISSIONS,
    TASKS_RESULTS,
    TASKS_PROFILES,
    TASKS_ACCOUNTS,
    TASKS_NAMES,
)
