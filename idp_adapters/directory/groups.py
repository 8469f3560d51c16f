"""Which groups somebody is in, groups of groups included. How a server can be asked depends on what it is.

In a cycle each group counts once. Too many groups refuse the sign-in rather than leave some out: one of those left out
could be the one that is denied something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ldap.filter import escape_filter_chars

from idp_adapters.contract import ProviderDown
from idp_adapters.directory import names
from idp_adapters.directory.connection import BASE, TooMany

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from idp_adapters.directory.connection import Conversation, Row
    from idp_adapters.directory.names import Name

COUNT: Final = 1000
DEPTH: Final = 20
AT_ONCE: Final = 50  # members or ids in one filter
IN_CHAIN: Final = "1.2.840.113556.1.4.1941"  # Active Directory's LDAP_MATCHING_RULE_IN_CHAIN; empty anywhere else
MANY: Final = "You are in more groups than can be looked at. Ask whoever looks after the directory."
UNREAD: Final = "The directory does not let us see your groups. Ask whoever looks after it."


class TooManyGroups(ProviderDown):
    """Of one person: nobody else has to be without an answer for it."""

    def __init__(self) -> None:
        super().__init__("too_many_groups", MANY)


@dataclass(frozen=True, slots=True)
class Group:
    dn: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Under which entry groups are, which entries are groups, and which attribute of theirs names the members."""

    base: str
    filter: str
    member: str


def groups_of(how: str, talk: Conversation, person: Row, where: Where) -> frozenset[Group]:
    found = frozenset(WAYS[how](talk, person, where))
    if len(found) > COUNT:
        raise TooManyGroups
    return found


def _walk(talk: Conversation, person: Row, where: Where) -> Iterable[Group]:
    """Upwards from group to group, a whole level in one question."""
    if where.member.lower() == "memberuid":  # RFC 2307: names of people, so that no group can be in another
        return _having(talk, [person.text("uid")], where, where.member)
    found = _by_name(_primary(talk, person, where))
    edge = [person.dn, *(group.dn for group in found.values())]
    for _ in range(DEPTH):
        above = _by_name(_having(talk, edge, where, where.member))
        edge = [group.dn for name, group in above.items() if name not in found]
        found |= above
        if not edge:
            return found.values()
        if len(found) > COUNT:
            break
    raise TooManyGroups


def _in_chain(talk: Conversation, person: Row, where: Where) -> Iterable[Group]:
    first = _primary(talk, person, where)
    members = [person.dn, *(group.dn for group in first)]
    return [*first, *_having(talk, members, where, f"{where.member}:{IN_CHAIN}:")]


def _token_groups(talk: Conversation, person: Row, where: Where) -> Iterable[Group]:
    """What Windows itself would put into the person's token (MS-ADTS 3.1.1.4.5.19): security groups, by SID."""
    rows = talk.search(person.dn, BASE, "(objectClass=*)", ["tokenGroups"], 1)
    sids = [sid for row in rows for sid in row.values("tokenGroups")]
    if not sids:  # everybody has a primary group there
        raise ProviderDown("no_token_groups", UNREAD)
    return _with_sids(talk, sids, where)


def _member_of(talk: Conversation, person: Row, where: Where) -> Iterable[Group]:  # noqa: ARG001 - one shape for all
    """Direct groups alone, and on Active Directory not the primary one."""
    if any(name.startswith("memberof;range=") for name in person.attributes):  # MS-ADTS 3.1.1.3.1.3.3
        raise TooManyGroups
    mine = (dn for dn in person.texts("memberOf") if names.is_under(dn, where.base))
    return [Group(dn, names.common_name(dn)) for dn in mine]


def _none(talk: Conversation, person: Row, where: Where) -> Iterable[Group]:  # noqa: ARG001 - one shape for all
    return ()


def _primary(talk: Conversation, person: Row, where: Where) -> list[Group]:
    """Active Directory's primary group has no `member` for those whose primary group it is."""
    sids, relative = person.values("objectSid"), person.text("primaryGroupID")
    if not sids or not relative:
        return []
    return list(_with_sids(talk, [names.primary_group(sids[0], relative)], where))


def _having(talk: Conversation, members: Sequence[str], where: Where, attribute: str) -> Iterator[Group]:
    for some in _pieces(members):
        yield from _matching(talk, where, [f"({attribute}={escape_filter_chars(member)})" for member in some])


def _with_sids(talk: Conversation, sids: Sequence[bytes], where: Where) -> Iterator[Group]:
    for some in _pieces(sids):
        yield from _matching(talk, where, [f"(objectSid={names.escaped(sid)})" for sid in some])


def _matching(talk: Conversation, where: Where, either: Sequence[str]) -> Iterator[Group]:
    wanted = f"(&{where.filter}(|{''.join(either)}))"
    try:
        rows = talk.search_all(where.base, wanted, ["cn"], COUNT)
    except TooMany:
        raise TooManyGroups from None
    for row in rows:
        yield Group(row.dn, row.text("cn") or names.common_name(row.dn))


def _by_name(groups: Iterable[Group]) -> dict[Name, Group]:
    return {names.parsed(group.dn): group for group in groups}


def _pieces(many: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(many), AT_ONCE):
        yield many[start : start + AT_ONCE]


WAYS: Final[Mapping[str, Callable[[Conversation, Row, Where], Iterable[Group]]]] = {
    "walk": _walk,
    "in-chain": _in_chain,
    "token-groups": _token_groups,
    "member-of": _member_of,
    "none": _none,
}
