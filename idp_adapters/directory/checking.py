"""The walk from a configuration to people and their groups, with words for where it ends."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from idp_adapters.contract import Finding, ProviderDown
from idp_adapters.directory import people
from idp_adapters.directory.channel import NoChannel, encrypted, reached, trusting
from idp_adapters.directory.connection import BASE, conversation
from idp_adapters.directory.schema import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from idp_adapters.contract import Equipment
    from idp_adapters.directory.config import LdapConfig
    from idp_adapters.directory.connection import Conversation, Row
    from idp_adapters.directory.schema import Schema

PATIENCE: Final = 20.0
SAMPLE: Final = 5  # people or groups that are looked at

WORDS: Final = {
    "invalid_credentials": "bind_dn or bind_password is wrong, or that account is locked",
    "invalid_dn_syntax": "this is no distinguished name: it is written like cn=reader,dc=example,dc=org",
    "no_such_object": "there is no such entry, or the account may not see it",
    "insufficient_access": "the account may not read there: give it the right to",
    "referral": "another server has this entry, and referrals are not followed: name that server in urls",
    "filter_error": "this is no search filter: it is written like (objectClass=person)",
    "operations_error": "the server wants a sign-in first, or has a fault: look into its log",
    "timeout": "no answer came in time",
    "not_active_directory": "groups = in-chain and token-groups are understood by Active Directory alone: use walk",
}


class _Ended(Exception):
    """A step failed and was told; no other follows."""


class _Said(Exception):
    """What is wrong, in words already."""


class _Walk:
    """The steps that were taken, told one by one."""

    def __init__(self) -> None:
        self.told: list[Finding] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """What is put into the list are the words of a step that went well."""
        words: list[str] = []
        try:
            yield words
        except (ProviderDown, _Said) as problem:
            self.told.append(Finding(name, ok=False, words=_words(problem)))
            raise _Ended from None
        self.told.append(Finding(name, ok=True, words=" ".join(words)))


def findings(config: LdapConfig, equipment: Equipment) -> Iterator[Finding]:
    """Each server is reached and must prove itself; the first one is asked further."""
    walk = _Walk()
    try:
        _approach(walk, config)
        with conversation(config.urls[0], trusting(config.ca_file), time.monotonic() + PATIENCE) as talk:
            _steps(walk, talk, config, equipment)
    except _Ended:
        pass
    except ProviderDown as down:
        walk.told.append(Finding("speak to it", ok=False, words=_words(down)))
    yield from walk.told


def _approach(walk: _Walk, config: LdapConfig) -> None:
    for url in config.urls:
        with walk.step(f"reach {url}"):
            plain = reached(url)
        with walk.step(f"encrypt {url}"):
            encrypted(plain, url, trusting(config.ca_file)).close()


def _steps(walk: _Walk, talk: Conversation, config: LdapConfig, equipment: Equipment) -> None:
    with walk.step(f"sign in as {config.bind_dn}"):
        talk.serve(config.bind_dn, equipment.secret("bind_password"))
    with walk.step(f"read {config.base}"):
        talk.search(config.base, BASE, "(objectClass=*)", ["objectClass"], 1)
    with walk.step("know the server") as words:
        schema = read_schema(talk, config)
        words.append("Active Directory" if schema.active_directory else "LDAP")
    with walk.step(f"find people {schema.people}") as words:
        words.append(_people(talk, config, schema))
    if schema.how == "none":
        return
    with walk.step(f"find groups {schema.groups.filter} under {schema.groups.base}") as words:
        groups = talk.sample(schema.groups.base, schema.groups.filter, ["cn"], SAMPLE)
        words.append(_counted(groups) if groups else "none yet: if there are some, group_base or group_filter is wrong")


def _people(talk: Conversation, config: LdapConfig, schema: Schema) -> str:
    rows = talk.sample(config.base, schema.people, people.attributes(schema, config.carry), SAMPLE)
    if not rows:
        raise _Said(f"nobody is found: is base right, and {schema.people}?")
    for attribute, option in ((schema.login, "login_attribute"), (schema.id, "id_attribute")):
        if not any(row.values(attribute) for row in rows):
            raise _Said(f"nobody has {attribute}: set {option}, or let the account read it")
    return _counted(rows)


def _counted(rows: Sequence[Row]) -> str:
    return f"{SAMPLE} or more" if len(rows) >= SAMPLE else str(len(rows))


def _words(problem: ProviderDown | _Said) -> str:
    if isinstance(problem, _Said):
        return str(problem)
    if isinstance(problem, NoChannel):
        return problem.advice
    return WORDS.get(problem.reason, f"the server's answer was {problem.reason}")
