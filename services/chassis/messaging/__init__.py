"""Events between services: one :class:`~services.chassis.messaging.broker.Broker`, two implementations.

The promise of both: an event whose publish returned is delivered to every subscribed queue at least once, until a
handler succeeds or the delivery lies in the dead-letter queue. Order is not promised.
"""
