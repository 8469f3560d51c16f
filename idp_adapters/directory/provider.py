"""LDAP and Active Directory as a way to sign in: search for the person, bind as the entry found, read its groups."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from ldap.filter import escape_filter_chars

from idp_adapters.contract import ExternalIdentity, IdentityProblem, IdentityRefused, ProviderDown
from idp_adapters.directory import names, people, policy, refusals
from idp_adapters.directory.channel import DOWN, trusting
from idp_adapters.directory.checking import findings
from idp_adapters.directory.connection import SUBTREE, TooMany, conversation
from idp_adapters.directory.groups import AT_ONCE, TooManyGroups, groups_of
from idp_adapters.directory.schema import read_schema

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterator, Sequence

    from idp_adapters.contract import Equipment, Finding
    from idp_adapters.directory.config import LdapConfig
    from idp_adapters.directory.connection import Conversation, Row
    from idp_adapters.directory.policy import Login
    from idp_adapters.directory.schema import Schema

SIGN_IN: Final = 12.0  # seconds for all of it
SURVEY: Final = 300.0  # seconds for a piece of one
PIECE: Final = 500  # people
NOBODY: Final = "cn=nobody-of-this-name"
# Where another server may do better; a wrong password of ours would only be locked at all of them.
ANOTHER: Final = frozenset({"server_down", "certificate", "no_tls", "timeout", "unavailable", "busy"})


class LdapProvider:
    """Safe to share between threads: each use has a connection of its own."""

    def __init__(self, config: LdapConfig, equipment: Equipment) -> None:
        self._config = config
        self._equipment = equipment
        self._context: ssl.SSLContext | None = None
        self._first = 0  # the server that answered last
        self._schema: Schema | None = None

    def authenticate(self, login: str, password: str) -> ExternalIdentity:
        """Raises IdentityRefused, whose text says more than "wrong" only to those who know the password."""
        asked, secret = policy.read_login(login), policy.read_password(password)
        with self._talk(SIGN_IN) as talk:
            schema = self._known_schema(talk)
            row = self._asked_for(talk, asked, secret, schema)
            talk.prove(row.dn, secret, policy=schema.password_policy)
            if people.is_disabled(row, self._equipment.now()):
                raise IdentityRefused("account_disabled", refusals.DISABLED)
            self._serve(talk)
            return self._identity(talk, row, schema, at=self._equipment.now(), amr=("pwd",))

    def survey(self, subjects: Collection[str]) -> Sequence[ExternalIdentity]:
        """All at once: whoever ends people by what is absent here must never see half an answer."""
        known = sorted(frozenset(subjects))
        pieces = (known[start : start + PIECE] for start in range(0, len(known), PIECE))
        return [identity for piece in pieces for identity in self._survey(piece)]

    def _survey(self, subjects: Sequence[str]) -> list[ExternalIdentity]:
        with self._talk(SURVEY) as talk:
            schema = self._known_schema(talk)
            rows = self._known(talk, subjects, schema)
            if not rows:
                self._see_anybody(talk, schema)
            now = self._equipment.now()
            used = [row for row in rows if not people.is_disabled(row, now)]
            return [one for one in self._identities(talk, used, schema) if one.subject in subjects]

    def check(self) -> Iterator[Finding]:
        return findings(self._config, self._equipment)

    @contextmanager
    def _talk(self, seconds: float) -> Iterator[Conversation]:
        """With the first server that can be reached, as our own account."""
        deadline = time.monotonic() + seconds
        with ExitStack() as stack:
            yield self._reached(stack, deadline)

    def _reached(self, stack: ExitStack, deadline: float) -> Conversation:
        urls = self._config.urls
        last = ProviderDown("timeout", DOWN)
        for turn in range(len(urls)):
            if time.monotonic() >= deadline:
                break
            number = (self._first + turn) % len(urls)
            try:
                talk = stack.enter_context(conversation(urls[number], self._trusted(), deadline))
                self._serve(talk)
            except ProviderDown as down:
                if down.reason not in ANOTHER:
                    raise
                last = down
            else:
                self._first = number
                return talk
        raise last

    def _trusted(self) -> ssl.SSLContext:
        """Made once: the system's certificates take 25 ms."""
        if self._context is None:
            self._context = trusting(self._config.ca_file)
        return self._context

    def _serve(self, talk: Conversation) -> None:
        talk.serve(self._config.bind_dn, self._equipment.secret("bind_password"))

    def _known_schema(self, talk: Conversation) -> Schema:
        if self._schema is None:
            self._schema = read_schema(talk, self._config)
        return self._schema

    def _asked_for(self, talk: Conversation, asked: Login, secret: str, schema: Schema) -> Row:
        """Where there is nobody, a password is tried all the same: whoever guesses names waits as long."""
        try:
            return self._one(talk, asked, schema)
        except IdentityRefused:
            with suppress(IdentityProblem):
                talk.prove(f"{NOBODY},{self._config.base}", secret, policy=schema.password_policy)
            raise

    def _one(self, talk: Conversation, asked: Login, schema: Schema) -> Row:
        """The entry to bind as: the only one, where it should be, with the very name that was asked for."""
        attribute = people.login_attribute(asked, schema)
        wanted = f"(&{schema.people}({attribute}={escape_filter_chars(asked.name)}))"
        try:
            rows = talk.search(self._config.base, SUBTREE, wanted, self._attributes(schema), 1)
        except TooMany:
            raise refusals.wrong("several_people") from None
        if not rows:
            raise refusals.wrong("unknown_person")
        if not names.is_under(rows[0].dn, self._config.base):
            raise refusals.wrong("outside_the_base")
        if not people.is_asked_for(rows[0], asked, schema):
            raise refusals.wrong("another_name")
        return rows[0]

    def _known(self, talk: Conversation, subjects: Sequence[str], schema: Schema) -> list[Row]:
        ids = [one for one in (names.id_filter(schema.id, subject) for subject in subjects) if one is not None]
        rows: list[Row] = []
        for start in range(0, len(ids), AT_ONCE):
            wanted = f"(&{schema.people}(|{''.join(ids[start : start + AT_ONCE])}))"
            rows += talk.search_all(self._config.base, wanted, self._attributes(schema), AT_ONCE)
        return rows

    def _see_anybody(self, talk: Conversation, schema: Schema) -> None:
        """Where all are gone at once, it is rather our account that sees nobody any more."""
        try:
            rows = talk.search(self._config.base, SUBTREE, schema.people, [schema.id], 1)
        except TooMany:
            return
        if not any(row.values(schema.id) for row in rows):
            raise ProviderDown("nobody_to_be_seen", DOWN)

    def _attributes(self, schema: Schema) -> list[str]:
        return people.attributes(schema, self._config.carry)

    def _identities(self, talk: Conversation, rows: Sequence[Row], schema: Schema) -> Iterator[ExternalIdentity]:
        """Without whoever could not sign in for having too many groups: one person must not end a survey of all."""
        for row in rows:
            with suppress(TooManyGroups):
                yield self._identity(talk, row, schema, at=0.0)  # they have proved nothing

    def _identity(
        self, talk: Conversation, row: Row, schema: Schema, *, at: float, amr: tuple[str, ...] = ()
    ) -> ExternalIdentity:
        groups = groups_of(schema.how, talk, row, schema.groups)
        return ExternalIdentity(
            issuer=f"ldap:{self._equipment.slug}",
            subject=people.subject(row, schema),
            login=people.shown(row.text(schema.login)),
            name=people.shown(row.text("displayName"), row.text("cn")),
            email=people.shown(row.text("mail")),
            claims=people.claims(row, groups, self._config.carry),
            authenticated_at=at,
            amr=amr,
        )
