"""What a description offers, under names that are legal and stay, and what was chosen of it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import msgspec

from registry.catalogue.naming import skeleton
from registry.errors import DescriptionRefused
from registry.openapi.reading import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from registry.openapi.reading import Document

METHODS: Final = ("get", "put", "post", "delete", "patch")  # the answers of the others have nothing for a model
MOST: Final = 20_000
LONGEST_NAME: Final = 100
SHOWN: Final = 12  # tags and operations that an error names
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_PATH: Final = re.compile(r"(?:/|/[A-Za-z0-9._~!$&'()*+,;=:@%{}/-]*)")
_EXPRESSION: Final = re.compile(r"\{([^{}/]{1,100})\}")


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which operations are wanted: by id, by `METHOD /path`, or by a pattern (`*`) for either; by tag; GET alone."""

    operations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    read_only: bool = False

    def __bool__(self) -> bool:
        return bool(self.operations or self.tags or self.read_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One of a description. `item` is the Path Item that it hangs on; `unusable` says why it cannot be a tool."""

    name: str  # as a tool
    id: str  # as the description has it; empty if it has none
    method: str
    path: str
    tags: tuple[str, ...]
    own: dict[str, Any] = field(repr=False)
    item: dict[str, Any] = field(repr=False)
    unusable: str = ""

    @property
    def place(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations(document: Document, here: Callable[[Any], bool] = lambda _servers: False) -> list[Operation]:
    """All of them, in the order of the description. `here` says whether servers of their own are where we call."""
    found = list(_found(document, here))
    if len(found) > MOST:
        raise DescriptionRefused(f"the description has more than {MOST} operations")
    alike = Counter(skeleton(one.name) for one in found)
    return [_apart(one) if alike[skeleton(one.name)] > 1 else one for one in found]


def chosen(everything: Sequence[Operation], choice: Choice, *, strict: bool = True) -> list[Operation]:
    """Those that are wanted. Raises DescriptionRefused where that is none, or, if `strict`, a word matches nothing."""
    if not choice:
        raise DescriptionRefused(f"nothing is chosen of the description. {_offer(everything)}")
    for word in (*choice.operations, *choice.tags) if strict else ():
        if not any(_named(one, (word,)) or word.casefold() in _tags(one) for one in everything):
            raise DescriptionRefused(f"{word[:100]!r} matches nothing in the description. {_offer(everything)}")
    wanted = [one for one in everything if _is_chosen(one, choice)]
    if not wanted:
        raise DescriptionRefused(f"nothing in the description is all that was chosen. {_offer(everything)}")
    return wanted


def expressions(path: str) -> list[str]:
    """The names in a path, between braces."""
    return _EXPRESSION.findall(path)


def _found(document: Document, here: Callable[[Any], bool]) -> Iterator[Operation]:
    for path, value in document.root["paths"].items():
        item = document.resolved(value)
        for method in METHODS:
            own = item.get(method)
            if isinstance(own, dict) and isinstance(path, str):
                yield _operation(path, method, own, item, _unusable(document, path, (own, item), here))


def _operation(path: str, method: str, own: dict[str, Any], item: dict[str, Any], unusable: str) -> Operation:
    ident = plain(own.get("operationId"), 200)
    tags = own.get("tags")
    return Operation(
        name=_legal(ident or f"{method}_{path}"),
        id=ident,
        method=method,
        path=path,
        tags=tuple(plain(tag, 80) for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        own=own,
        item=item,
        unusable=unusable,
    )


def _unusable(document: Document, path: str, levels: Sequence[dict[str, Any]], here: Callable[[Any], bool]) -> str:
    if not _PATH.fullmatch(path) or "{" in _EXPRESSION.sub("", path) or "}" in _EXPRESSION.sub("", path):
        return "its path is not one that can be written"
    if any(part in {".", ".."} for part in path.split("/")):
        return "its path leads out of itself"
    lists = (level.get("servers") for level in levels)
    own = next((servers for servers in lists if isinstance(servers, list) and servers), None)
    if own is None or own == document.root.get("servers") or here(own):
        return ""
    return "it is at another address: register that as a server of its own"


def _legal(name: str) -> str:
    """In the characters of names of tools, cut where it is too long."""
    legal = _ILLEGAL.sub("_", name).strip("_.-") or "operation"
    return legal if len(legal) <= LONGEST_NAME else f"{legal[:LONGEST_NAME]}_{_mark(name)}"


def _apart(one: Operation) -> Operation:
    """Told from those that look alike by what it is, so that its name is the same whatever stands beside it."""
    name = f"{one.name[:LONGEST_NAME]}_{_mark(one.place)}"
    return Operation(
        name=name, id=one.id, method=one.method, path=one.path, tags=one.tags, own=one.own, item=one.item,
        unusable=one.unusable,
    )  # fmt: skip


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]


def _is_chosen(one: Operation, choice: Choice) -> bool:
    if choice.read_only and one.method != "get":
        return False
    if not choice.operations and not choice.tags:
        return True
    return _named(one, choice.operations) or any(tag.casefold() in _tags(one) for tag in choice.tags)


def _named(one: Operation, words: Iterable[str]) -> bool:
    """Patterns have `*` alone: a bracket or a question mark in a path is one."""
    names = (one.id, one.name, one.place)
    return any(fnmatchcase(name, _pattern(word)) for word in words for name in names if name)


def _pattern(word: str) -> str:
    return word.replace("[", "[[]").replace("?", "[?]")


def _tags(one: Operation) -> set[str]:
    return {tag.casefold() for tag in one.tags}


def _offer(everything: Sequence[Operation]) -> str:
    """What there is, and how to choose from it."""
    usable = [one for one in everything if not one.unusable]
    reading = sum(one.method == "get" for one in usable)
    tags = Counter(tag for one in usable for tag in one.tags)
    lines = [f"It has {len(usable)} operations, {reading} of which only read (GET)."]
    if tags:
        named = ", ".join(f"{tag} ({count})" for tag, count in tags.most_common(SHOWN))
        lines.append(f"Its tags: {named}{', …' if len(tags) > SHOWN else ''}.")
    else:
        named = ", ".join(one.id or one.place for one in usable[:SHOWN])
        lines.append(f"Some of them: {named}{', …' if len(usable) > SHOWN else ''}.")
    lines.append(
        "Choose with --operation ID (or a pattern such as 'issues/*'), --tag TAG, --read-only, or all: --operation '*'."
    )
    return " ".join(lines)
