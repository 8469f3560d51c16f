"""How long a server may take and how much may be asked of it at once, where that differs from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST: Final = 86_400.0


class ToolLimits(BaseModel):
    """Of one tool, by the server's own name for it; what is None is as for the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline: float | None = Field(None, gt=0, le=LONGEST, description="seconds of silence after which it is given up")
    total: float | None = Field(None, gt=0, le=LONGEST, description="seconds it may last, progress or not")
    repeat: bool = Field(False, description="may be sent again if its definition says that it is idempotent")


class Limits(BaseModel):
    """Of one server; what is None is as in the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline: float | None = Field(None, gt=0, le=LONGEST, description="seconds of silence after which it is given up")
    total: float | None = Field(None, gt=0, le=LONGEST, description="seconds a call may last, progress or not")
    at_once: int | None = Field(None, ge=1, le=256, description="calls under way at the same time")
    tools: dict[str, ToolLimits] = Field({}, description="of single tools")


NO_LIMITS: Final = Limits()


def read_limits(limits: Mapping[str, Any]) -> Limits:
    """Raises RegistryError with every problem named."""
    try:
        return Limits.model_validate(dict(limits))
    except ValidationError as refused:
        problems = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.errors())
        raise RegistryError(f"limits: {problems}") from refused
