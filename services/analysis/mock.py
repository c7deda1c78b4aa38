"""The old backend's analysis: it slept and wrote constants. Kept for comparison, and for tests of everything else."""

import asyncio
import uuid

from contracts.events import PhotoKind
from contracts.reports import Method, Report, Severity, Suggestion, report_image_name
from services.analysis.analyser import Analysis, AnalysisRequest

SUGGESTIONS = 3  # the old backend drew one to five at random; a constant can be tested


class MockAnalyser:
    """Waits ``seconds``, then answers with the same figures for every photo."""

    name = "mock"
    version = "1"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def start(self) -> None:
        """Nothing is needed."""

    async def analyse(self, request: AnalysisRequest) -> Analysis:
        """The constants; the report image is the first colour photo, else the first thermal one, as it is."""
        await asyncio.sleep(self._seconds)
        photos = sorted(request.photos, key=lambda photo: photo.kind is not PhotoKind.RGB)  # stable
        image = photos[0].path if photos else None
        name = report_image_name(request.task_id) if image else None
        report = Report(
            taskID=request.task_id,
            leakSeverity=Severity.MODERATE,
            energyLossValue=15.8,
            energyLossCost=142.0,
            savingsPercent=19.0,
            savingsCost=31.0,
            imagePath=name,
            thumbPath=name,
            suggestions=tuple(
                Suggestion(
                    suggestionID=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.job_id} {number}")),
                    title="Weatherstripping",
                    subtitle="Seal around window frame",
                    difficulty="Easy",
                    costRange="$10–20",
                    estimatedReduction="50–70%",
                    lifetime="3–5 years",
                )
                for number in range(SUGGESTIONS)
            ),
            method=Method(name=self.name, version=self.version),
        )
        return Analysis(report, image)

    async def close(self) -> None:
        """Nothing is held."""
