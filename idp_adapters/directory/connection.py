"""A conversation with one directory server: encrypted before anything is said, and bounded in time and size.

libldap blocks, so all this runs in threads; a conversation belongs to the one that opened it. Referrals are not
followed (a directory could send us, and a password, anywhere), and neither its files nor its variables are read.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

os.environ["LDAPNOINIT"] = "1"  # before libldap is loaded: an ldaprc in the working directory could switch things on

import ldap
from ldap.controls import SimplePagedResultsControl
from ldap.controls.ppolicy import PasswordPolicyControl
from pyasn1.error import PyAsn1Error

from idp_adapters.contract import ProviderDown
from idp_adapters.directory import refusals
from idp_adapters.directory.channel import DOWN, carried, encrypted, reached

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator, Mapping, Sequence

ANSWER: Final = 4.0  # seconds for one answer
PAGE: Final = 500  # Active Directory gives 1,000 at most
VALUES: Final = 5000  # values of one attribute that are looked at

BASE, SUBTREE = ldap.SCOPE_BASE, ldap.SCOPE_SUBTREE

# What a bind answers where the account, not the server, is the matter: 389 Directory Server says so of locked ones.
REFUSALS: Final = (
    ldap.INAPPROPRIATE_AUTH,
    ldap.NO_SUCH_OBJECT,
    ldap.CONSTRAINT_VIOLATION,
    ldap.UNWILLING_TO_PERFORM,
    ldap.INSUFFICIENT_ACCESS,
)


class TooMany(ProviderDown):
    """More entries than were asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it was answered. Names of attributes are in lower case."""

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def values(self, attribute: str) -> Sequence[bytes]:
        return self.attributes.get(attribute.lower(), ())[:VALUES]

    def texts(self, attribute: str) -> tuple[str, ...]:
        """What is no UTF-8 is left out."""
        return tuple(text for value in self.values(attribute) if (text := _text(value)))

    def text(self, attribute: str) -> str:
        return next(iter(self.texts(attribute)), "")


@contextmanager
def conversation(url: str, context: ssl.SSLContext, deadline: float) -> Iterator[Conversation]:
    """`deadline` is on the monotonic clock, and ends whatever is going on then. Raises ProviderDown."""
    channel = encrypted(reached(url), url, context)
    with _translated():
        connection = _connected(carried(channel, deadline))
    try:
        yield Conversation(connection, deadline)
    finally:
        with suppress(ldap.LDAPError):
            connection.unbind_ext_s()


class Conversation:
    """Made by `conversation` alone, which hands over none that is not encrypted."""

    def __init__(self, connection: Any, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def serve(self, dn: str, password: bytes) -> None:
        """Speaks as our own account from here. That it is refused is no fault of whoever signs in."""
        with _translated():
            self._bind(dn, password.decode())

    def prove(self, dn: str, password: str, *, policy: bool) -> None:
        """Speaks as somebody, whose password this then was. Raises IdentityRefused.

        `policy` asks for the password policy's word, of servers that know it: one that does not may break over it.
        """
        with _translated():
            try:
                controls = self._bind(dn, password, [PasswordPolicyControl()] if policy else [])
            except ldap.INVALID_CREDENTIALS as error:
                raise _refusal(error) from None  # the cause holds names and the server's own text
            except REFUSALS as error:
                raise refusals.wrong(f"refused.{_code(error)}") from None
        for control in controls:
            if isinstance(control, PasswordPolicyControl) and control.error is not None:
                raise refusals.by_policy(control.error)

    def search(self, base: str, scope: int, wanted: str, attributes: Sequence[str], limit: int) -> list[Row]:
        """At most `limit` rows; one more, and it is refused. References to other servers are left out."""
        with _translated():
            message = self._connection.search_ext(base, scope, wanted, list(attributes), sizelimit=limit + 1)
            rows, _ = self._rows(message, limit)
        return rows

    def sample(self, base: str, wanted: str, attributes: Sequence[str], count: int) -> list[Row]:
        """The first `count` rows; whether there are more is not looked at."""
        with _translated():
            message = self._connection.search_ext(base, SUBTREE, wanted, list(attributes))
            rows, _ = self._rows(message, count, enough=True)
        return rows

    def search_all(self, base: str, wanted: str, attributes: Sequence[str], limit: int) -> list[Row]:
        """Page by page (RFC 2696): servers end a plain search at their own limit."""
        found: list[Row] = []
        cookie = b""
        with _translated():
            while True:
                page = SimplePagedResultsControl(criticality=False, size=PAGE, cookie=cookie)
                message = self._connection.search_ext(base, SUBTREE, wanted, list(attributes), serverctrls=[page])
                rows, cookie = self._rows(message, limit - len(found))
                found += rows
                if not cookie:
                    return found

    def _bind(self, dn: str, password: str, asked: Sequence[Any] = ()) -> list[Any]:
        if not dn or not password:  # either would be a bind as nobody, which succeeds
            raise ProviderDown("empty_bind", DOWN)
        message = self._connection.simple_bind(dn, password, serverctrls=list(asked))
        *_, controls = self._connection.result3(message, timeout=self._patience())
        return list(controls)

    def _rows(self, message: int, limit: int, *, enough: bool = False) -> tuple[list[Row], bytes]:
        """Entry by entry, so that a server that never ends is left after `limit` of them."""
        rows: list[Row] = []
        while True:
            kind, data, _, controls = self._connection.result3(message, all=0, timeout=self._patience())
            rows += [_row(dn, attributes) for dn, attributes in data or () if dn is not None]
            if len(rows) >= limit and enough:
                self._connection.abandon_ext(message)
                return rows[:limit], b""
            if len(rows) > limit:
                self._connection.abandon_ext(message)
                raise ldap.SIZELIMIT_EXCEEDED({"desc": "more rows than were asked for"})
            if kind == ldap.RES_SEARCH_RESULT:
                return rows, _cookie(controls)

    def _patience(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ldap.TIMEOUT({"desc": "out of time"})
        return min(ANSWER, left)


def _connected(channel: socket.socket) -> Any:
    """The library owns the socket from here. The address is only for its messages."""
    connection = ldap.initialize("ldap://directory", fileno=channel.detach())
    for option, value in (
        (ldap.OPT_PROTOCOL_VERSION, 3),
        (ldap.OPT_REFERRALS, 0),
        (ldap.OPT_NETWORK_TIMEOUT, ANSWER),
        (ldap.OPT_TIMEOUT, ANSWER),
    ):
        connection.set_option(option, value)
    return connection


def _row(dn: str, attributes: Mapping[str, Sequence[bytes]]) -> Row:
    return Row(dn, {name.lower(): values for name, values in attributes.items()})


def _cookie(controls: Sequence[Any]) -> bytes:
    for control in controls:
        if isinstance(control, SimplePagedResultsControl):
            return bytes(control.cookie)
    return b""


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


def _refusal(error: ldap.LDAPError) -> Exception:
    said = _said(error)
    for oid, _, value in said.get("ctrls", ()):
        if oid == PasswordPolicyControl.controlType:
            control = PasswordPolicyControl()
            control.decodeControlValue(value)
            if control.error is not None:
                return refusals.by_policy(control.error)
    return refusals.by_text(str(said.get("info", "")))


def _said(error: ldap.LDAPError) -> Mapping[str, Any]:
    first = error.args[0] if error.args else None
    return first if isinstance(first, dict) else {}


def _code(error: Exception) -> str:
    return type(error).__name__.lower()


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors become ours, without their texts: those hold names, and what a stranger wrote."""
    try:
        yield
    except ldap.SIZELIMIT_EXCEEDED as error:
        raise TooMany(_code(error), DOWN) from None
    except ldap.LDAPError as error:
        raise ProviderDown(_code(error), DOWN) from None
    except (PyAsn1Error, UnicodeDecodeError):
        raise ProviderDown("malformed_answer", DOWN) from None
