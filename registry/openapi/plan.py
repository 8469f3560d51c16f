"""How a tool is called that is an operation of an HTTP API. It stands in the definition, under `_meta`, so that it is
read by whoever approves the tool, and is held to its digest; clients are not shown it.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

KEY = "dev.ostiary/operation"


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True, rename={"place": "in"}):
    """One value, where it goes, and how it is written there (OpenAPI, Parameter Object).

    `argument` is what the tool calls it; empty, it has the same `name`. With `json` it is written as JSON instead of in
    a style. `segments` lets a path value hold slashes.
    """

    name: str
    place: str  # path, query, header or cookie
    argument: str = ""
    style: str = ""  # empty: the default of its place
    explode: bool | UnsetType = UNSET
    required: bool = False
    reserved: bool = False
    json: bool = False
    segments: bool = False

    @property
    def called(self) -> str:
        return self.argument or self.name


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sent as content. `fields` are the styles of single form fields (Encoding Object)."""

    type: str
    argument: str = "body"
    required: bool = False
    binary: tuple[str, ...] = ()  # fields that are files; of a body that is no form: its only one, ""
    fields: dict[str, Parameter] = {}


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation."""

    method: str
    path: str  # with its expressions, below the registered address
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    accept: tuple[str, ...] = ()  # media types that it describes answers in

    def arguments(self) -> tuple[str, ...]:
        """What a caller may give, by the tool's names."""
        named = tuple(parameter.called for parameter in self.parameters)
        return named if self.body is None else (*named, self.body.argument)


class _Meta(msgspec.Struct):
    operation: Plan | None = msgspec.field(default=None, name=KEY)


class _Defined(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


_defined = msgspec.json.Decoder(_Defined)


def plan_of(raw: bytes | str) -> Plan | None:
    """The plan in a definition; None if there is none that can be understood."""
    try:
        return _defined.decode(raw).meta.operation
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
