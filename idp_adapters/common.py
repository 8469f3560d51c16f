"""What the configurations of all kinds have in common."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
Guid = Annotated[str, StringConstraints(pattern=f"^{GUID.pattern}$")]


class ProviderConfig(BaseModel):
    """What every kind has. Times are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Path | None = Field(None, description="certificates (PEM) to trust besides the system's")
    allow_addresses: tuple[str, ...] = Field(
        (), description="scheme://host:port lines that this provider may be reached at although they are not public"
    )
    carry: tuple[str, ...] = Field((), description="claims or attributes besides the groups that mappings may look at")
    survey_interval: float = Field(
        300, ge=15, le=86400, description="how often people who are signed in are asked about again, where that works"
    )

    def needs(self) -> frozenset[str]:
        """The secrets that this very configuration cannot do without, by purpose."""
        return frozenset()
