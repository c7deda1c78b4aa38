"""analysis: turns the photos of a submission into a report.

Owns nothing that lasts: no database, no photo of its own. Killing it at any moment loses nothing.

Consumes ``TaskSubmitted``; fetches the photos that it points at from tasks, analyses them in worker processes, and
stores the report image with tasks. Publishes ``AnalysisStarted`` and then ``AnalysisCompleted`` or
``AnalysisFailed``, confirmed by the broker before the submission is acknowledged: every delivery ends in one of them.
"""
