"""How long a server may take and how much may be asked of it at once, where that differs from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import RegistryError
from registry.tables import Definition, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlmodel import Session

    from registry.tables import Server

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


def change_limits(
    session: Session, server: Server, tool: str | None, changes: Mapping[str, Any], *, longest: float
) -> dict[str, Any]:
    """Sets limits of a server, or of one of its tools; 0 takes one back. `longest` is how long a call may last if
    nothing says so. Gives all limits of the server. Raises RegistryError, saying what to do.
    """
    limits = {**server.limits, "tools": dict(server.limits.get("tools", {}))}
    if tool is None:
        limits = _changed(limits, changes)
    else:
        if session.get(Definition, (server.slug, Kind.TOOL, tool)) is None:
            raise RegistryError(
                f"{server.slug} offers no tool {tool!r}; `ostiary server show {server.slug}` names them"
            )
        limits["tools"][tool] = _changed(limits["tools"].get(tool, {}), changes)
    limits["tools"] = {name: of for name, of in limits["tools"].items() if of}
    server.limits = {name: value for name, value in limits.items() if value}
    _check_times(read_limits(server.limits), longest)
    session.add(server)
    return server.limits


def _changed(limits: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**limits, **changes}.items() if value or name == "tools"}


def _check_times(limits: Limits, longest: float) -> None:
    """The whole is an absolute cap: a deadline beyond it would never be reached."""
    total = limits.total or longest
    every: list[tuple[str, Limits | ToolLimits]] = [("", limits)]
    every += [(f" of {name}", tool) for name, tool in limits.tools.items()]
    for name, of in every:
        most = of.total or total
        if of.deadline is not None and of.deadline > most:
            raise RegistryError(
                f"the deadline{name} of {of.deadline:g} s is longer than a call may last at all ({most:g} s): "
                "give --total too"
            )
