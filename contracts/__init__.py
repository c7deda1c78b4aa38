"""What crosses a process boundary, and nothing else.

Models of the public API (:mod:`contracts.public`, :mod:`contracts.reports`), of the events
(:mod:`contracts.events`), the names on the broker (:mod:`contracts.topology`) and the internal HTTP API
(:mod:`contracts.internal`). No I/O and no import of a service, so that every process can share it.

The JSON Schemas, ``openapi.yaml`` and ``asyncapi.yaml`` beside these modules are generated from them by
``make contracts``; a contract test fails when they differ.
"""
