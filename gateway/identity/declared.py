"""Identity providers as they stand in the operator's file: `[[identity_providers]]`, its secrets by reference."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from idp_adapters.config import KINDS, ConfigRefused, read_config

if TYPE_CHECKING:
    from idp_adapters.common import ProviderConfig


class DeclaredMapping(BaseModel):
    """Whoever has `value` among `claim` is in `group`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str = "groups"
    value: str
    group: str


class DeclaredProvider(BaseModel):
    """One of the file. Besides these members it has those of its kind's configuration, and its secrets' places."""

    model_config = ConfigDict(frozen=True, extra="allow")

    slug: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")
    kind: str
    title: str = ""
    domains: tuple[str, ...] = ()
    mappings: tuple[DeclaredMapping, ...] = ()

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        try:
            missing = self.read().needs() - self.references().keys() - KINDS[self.kind].makes.keys()
        except ConfigRefused as refused:
            raise ValueError("\n".join(refused.problems)) from refused
        if missing:
            raise ValueError("\n".join(f"{one}_env or {one}_file: say where the {one} is" for one in sorted(missing)))
        return self

    def read(self) -> ProviderConfig:
        """The configuration proper."""
        return read_config(self.kind, self.config())

    def config(self) -> dict[str, Any]:
        places = {name for pair in self.references().values() for name in pair}
        return {name: value for name, value in (self.model_extra or {}).items() if name not in places}

    def references(self) -> dict[str, dict[str, str]]:
        """Where each secret is: purpose → {member: what it says}."""
        said, found = self.model_extra or {}, {}
        for purpose in KINDS[self.kind].secrets if self.kind in KINDS else ():
            pair = {name: str(said[name]) for name in (f"{purpose}_env", f"{purpose}_file") if name in said}
            if pair:
                found[purpose] = pair
        return found


def missing_secrets(declared: tuple[DeclaredProvider, ...]) -> list[str]:
    """Every secret of theirs that cannot be had, one sentence each."""
    found = [read_secret(one, purpose)[1] for one in declared for purpose in one.references()]
    return [problem for problem in found if problem]


def read_secret(one: DeclaredProvider, purpose: str) -> tuple[bytes, str]:
    """The secret, or what is wrong with where it is said to be."""
    pair, place = one.references()[purpose], f"identity_providers {one.slug}"
    if len(pair) > 1:
        return b"", f"{place}: give {' or '.join(pair)}, not both"
    ((name, said),) = pair.items()
    if name.endswith("_env"):
        value = os.environ.get(said, "").strip().encode()
        return value, "" if value else f"{place}: {name}: the environment has no {said}"
    return _read_file(Path(said), f"{place}: {name}")


def _read_file(path: Path, place: str) -> tuple[bytes, str]:
    try:
        if path.stat().st_mode & 0o077:
            return b"", f"{place}: {path} can be read by others; chmod 600 it"
        value = path.read_bytes().strip()
    except OSError as error:
        return b"", f"{place}: {path} cannot be read ({error.strerror})"
    return value, "" if value else f"{place}: {path} is empty"
