"""Reading a description: JSON or YAML, of bounded size, and of a version that is understood.

What a description says is an outsider's word: nothing it refers to is fetched, and whoever walks through it counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from registry.errors import DescriptionRefused
from registry.openapi.yaml_text import from_yaml
from registry.screening.hidden import hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 32 * 1024 * 1024  # bytes; GitHub's has 12 million
LARGEST_YAML = 8 * 1024 * 1024  # which is read a hundred times as slowly as JSON
VERSIONS = ("3.0.", "3.1.")
_STEPS = 16  # references that lead to references


@dataclass(frozen=True, slots=True)
class Document:
    """A description; `old` is one of 3.0, whose schemas are of a dialect of their own."""

    root: dict[str, Any]
    version: str

    @property
    def old(self) -> bool:
        return self.version.startswith("3.0.")

    def resolved(self, value: Any) -> dict[str, Any]:
        """The object that `value` is, or refers to inside of this document; an empty one if there is none."""
        for _ in range(_STEPS):
            if not isinstance(value, dict):
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            value = self.at(reference)
        return {}

    def at(self, reference: str) -> Any:
        """What a local reference (RFC 6901, as a fragment) points at; None for all others."""
        if not reference.startswith("#/"):
            return None
        node: Any = self.root
        for part in reference[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                node = node[int(key)] if _is_index(key) and int(key) < len(node) else None
            else:
                node = node.get(key) if isinstance(node, dict) else None
        return node


def read_description(text: bytes) -> Document:
    """Raises DescriptionRefused, saying what is wrong and what to do."""
    root = _parsed(text)
    if not isinstance(root, dict):
        raise DescriptionRefused("the description is no object")
    version = str(root.get("openapi", ""))
    if not version.startswith(VERSIONS):
        raise DescriptionRefused(_about_version(root, version))
    if not isinstance(root.get("paths"), dict):
        raise DescriptionRefused("the description has no paths, so there is nothing to call")
    return Document(root, version[:16])


def plain(value: Any, most: int) -> str:
    """`value` as text that a person and a model read alike, at most `most` characters; empty if it is no text."""
    if not isinstance(value, str):
        return ""
    text = value[: 2 * most].replace("\r\n", "\n").strip()
    if any(True for _ in hidden(text)):
        text = "".join(_unhidden(text))
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _unhidden(text: str) -> Iterator[str]:
    before = ""
    for char in text:
        if not any(True for _ in hidden(before + char)):
            before = before[-7:] + char
            yield char


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) < 9


def _about_version(root: dict[str, Any], version: str) -> str:
    if "swagger" in root:
        return "the description is of Swagger 2.0: convert it to OpenAPI 3.0 or 3.1 first"
    if not version:
        return "this is no OpenAPI description: it has no member openapi that names its version"
    return f"the description is of OpenAPI {plain(version, 16)}; 3.0 and 3.1 are understood"


def _parsed(text: bytes) -> Any:
    if len(text) > LARGEST:
        raise DescriptionRefused(f"the description is larger than {LARGEST // 1024 // 1024} MiB")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DescriptionRefused("the description is not UTF-8") from error
    try:
        return json.loads(decoded)
    except RecursionError as error:
        raise DescriptionRefused("the description is nested too deep") from error
    except ValueError:  # then it may be YAML
        pass
    if len(text) > LARGEST_YAML:
        raise DescriptionRefused(f"the description is no JSON, and for YAML larger than {LARGEST_YAML >> 20} MiB")
    return from_yaml(decoded)
