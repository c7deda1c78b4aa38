"""The public door of the system: the one process that the internet reaches.

**Owns** the public routes, prefixed as the app calls them and bare as they were documented, and the merged
documentation of the public API. It stores nothing, publishes nothing and consumes nothing.

**Promises.** Only the routes in :mod:`gateway.routes` are ever forwarded; whatever a service offers beside them stays
inside. How often an address and a person may ask, and how many of their requests are under way, is limited before a
body is read. A body is counted and timed while it streams through, and never parsed or held. A token that is sent
must be good; the services check it again, because a request may reach them by another way. A body that was cut off,
by the client or by a limit, never looks complete to a service. A request is never sent to a service twice, except a
GET whose idle connection turned out to be closed.
"""
