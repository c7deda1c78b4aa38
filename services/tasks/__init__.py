"""tasks: what people submitted, how far each submission is, and what came of it.

Owns ``LeakageTask`` and ``Suggestion`` (the old backend's tables, adopted), jobs, households (a copy of what auth
says of them), and every photo. Publishes ``TaskSubmitted`` from its outbox. Consumes ``AnalysisStarted``,
``AnalysisCompleted``, ``AnalysisFailed``, ``ProfileUpdated``, ``SignedOut`` and ``AccountDeleted``; duplicates and
reordering change nothing.

Promises: a submission that was answered 200 is stored with its photos and reaches exactly one visible end, ``done``
or ``error``; a submission that was not leaves nothing visible. Of a deleted account nothing is left after a minute or
two, and nothing of it comes back.
"""
