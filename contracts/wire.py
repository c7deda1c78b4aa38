"""The base of every model that crosses a process boundary."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """An immutable message that ignores what it does not know.

    Ignoring unknown members is what lets a newer writer add fields while older readers are still running.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
