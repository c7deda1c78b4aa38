"""The report that a homeowner gets: the published app's fields, and richer ones beside them.

The app knows :class:`Report` up to ``suggestions`` and prints numbers as they come, so writers round them for a
person. It ignores members that it does not know; everything after ``suggestions`` is for clients that show more.
Names are camelCase because the app's are.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.wire import Wire

Fraction = Annotated[float, Field(ge=0, le=1)]


class Severity(StrEnum):
    """How badly the photographed part leaks; ``Unknown`` when the photos cannot tell."""

    NONE = "None"
    LOW = "Low"
    MODERATE = "Moderate"
    HIGH = "High"
    UNKNOWN = "Unknown"


class Suggestion(Wire):
    """One thing to do about it, in words for a person."""

    suggestionID: str  # noqa: N815 - the app's name
    title: str
    subtitle: str
    difficulty: str
    costRange: str = Field(description="US$, for a person: `$10–20`")  # noqa: N815
    estimatedReduction: str = Field(description="percent of the loss of this part: `50–70%`")  # noqa: N815
    lifetime: str = Field(description="for a person: `3–5 years`")
    source: str | None = Field(None, description="where the figures come from; `typical` where no source is known")


class Range(Wire):
    """The span in which a figure lies, in the figure's own unit."""

    low: float
    high: float


class Ranges(Wire):
    """The spans of the four figures of a report."""

    energyLossValue: Range | None = Field(None, description="kWh per month")  # noqa: N815
    energyLossCost: Range | None = Field(None, description="US$ per year")  # noqa: N815
    savingsPercent: Range | None = Field(None, description="percent")  # noqa: N815
    savingsCost: Range | None = Field(None, description="US$ per year")  # noqa: N815


class ConfidenceLevel(StrEnum):
    """How far the figures can be trusted."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


class Confidence(Wire):
    """How far to trust the report, and why not further."""

    level: ConfidenceLevel
    score: Fraction
    reasons: tuple[str, ...] = Field((), description="sentences for a person, the weightiest first")


class DefectKind(StrEnum):
    """What a cold region most likely is. The photo alone rarely proves it; clients word it as a likelihood."""

    AIR_LEAK = "air leak"
    MISSING_INSULATION = "missing insulation"
    THERMAL_BRIDGE = "thermal bridge"
    COLD_GLAZING = "cold glazing"


class Finding(Wire):
    """One region of a thermal photo that loses heat."""

    number: int = Field(ge=1, description="as printed on the report image; 1 is the worst")
    observation: int = Field(ge=0, description="N of the photo's name `obs<N>_thermal`")
    kind: DefectKind
    kindConfidence: Fraction  # noqa: N815
    looksLike: str | None = Field(  # noqa: N815
        None,
        description="what it looks like where `kind` has no word for it, for a person: `moisture suspected`, `cold "
        "object or glass`. It is no heat loss then and costs nothing; show it instead of `kind`",
    )
    outline: tuple[tuple[Fraction, Fraction], ...] = Field(
        description="polygon in fractions of the upright thermal photo's width and height, from its top left corner"
    )
    areaShare: Fraction = Field(description="share of the thermal photo's scene that it covers")  # noqa: N815
    thermalIndex: float | None = Field(  # noqa: N815
        None, description="coldest (T − T_outside)/(T_inside − T_outside); 1 is as warm as the room"
    )
    coldestTemperature: float | None = Field(  # noqa: N815
        None, description="°C of its coldest place, of its warmest one if it was warmer outside; where known"
    )


class Method(Wire):
    """Which analysis wrote the report."""

    name: str
    version: str


class Report(Wire):
    """What the analysis says about one submission."""

    taskID: str  # noqa: N815
    leakSeverity: Severity  # noqa: N815
    energyLossValue: float | None = Field(description="kWh per month")  # noqa: N815
    energyLossCost: float | None = Field(description="US$ per year")  # noqa: N815
    savingsPercent: float | None = Field(description="percent of the loss that the suggestions would cut")  # noqa: N815
    savingsCost: float | None = Field(description="US$ per year")  # noqa: N815
    imagePath: str | None  # noqa: N815
    thumbPath: str | None  # noqa: N815
    suggestions: tuple[Suggestion, ...]

    reason: str | None = Field(None, description="why the severity is Unknown, for a person")
    confidence: Confidence | None = None
    ranges: Ranges | None = None
    assumptions: tuple[str, ...] = Field((), description="what the figures take for granted, for a person")
    findings: tuple[Finding, ...] = ()
    method: Method | None = None


def report_image_name(task_id: str) -> str:
    """What the app expects the report image of a task to be called."""
    return f"{task_id}_analysis_image.jpg"
