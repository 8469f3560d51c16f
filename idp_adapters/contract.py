"""The vocabulary of identities: what every way to sign in takes, and what it gives us.

An adapter turns the protocol of one kind of identity provider into an `ExternalIdentity`, and does nothing else: what
becomes of it is decided in `authz`, what the browser sees in `gateway`. Adapters are synchronous, are called in threads
and are safe to share between them. What they need of the outside (HTTP, signatures, one-use marks) they are handed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

GROUPS = "groups"  # the claim that holds group names or ids, whatever the provider calls it


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalIdentity:
    """Somebody as an identity provider vouched for them, before they become a person of ours.

    Identity is `(issuer, subject)`, never the e-mail address, which people and providers change. `login` is the short
    name they are known by there, for people to read. `claims` holds the groups and whatever else the provider was
    configured to carry, for mappings to look at. `authenticated_at` is in seconds since the epoch; `acr` and `amr` as
    in OpenID Connect Core section 2. `session` is the provider's own name of the session (`sid`, SessionIndex).
    """

    issuer: str
    subject: str
    login: str
    name: str = ""
    email: str = ""
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    authenticated_at: float
    acr: str = ""
    amr: tuple[str, ...] = ()
    session: str = ""
    presented_to: str = ""  # of an exchanged credential: the client id that it was issued to
    keep: bytes = field(default=b"", repr=False)  # what the adapter wants back to renew or to log out; we seal it

    @property
    def groups(self) -> frozenset[str]:
        return self.claims.get(GROUPS, frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Where the browser goes, and what must come back with it. `form` is posted there; without one it is a GET."""

    url: str
    form: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What the browser, or the provider itself, brought to an address of ours: each parameter once."""

    method: str
    url: str  # the address as we publish it, without the query
    query: str = field(default="", repr=False)  # as it was sent: SAML's redirect binding signs these very bytes
    parameters: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Whose sessions a provider wants ended; of one person all of them when `session` is empty.

    `subject` is empty where the provider named the session alone; never both.
    """

    issuer: str
    subject: str  # may be empty where the session is named
    session: str = ""
    answer: Departure | None = None  # what the provider is told in turn, where its protocol wants that


@dataclass(frozen=True, slots=True)
class Finding:
    """One step of a connection that was walked: what was tried, whether it went well, and what to do if not."""

    step: str
    ok: bool
    words: str = ""


class Provider(Protocol):
    """What all of them have: `idp test` walks the connection and stops at the first step that fails."""

    def check(self) -> Iterator[Finding]: ...


@runtime_checkable
class Redirecting(Provider, Protocol):
    """Signs in by sending the browser away (OIDC, SAML, Entra). `state` is ours and bound to the browser.

    With `again`, whoever is signed in there already is to prove it anew.
    """

    def depart(self, callback: str, state: str, *, again: bool = False) -> Departure: ...

    def arrive(self, arrival: Arrival, kept: Mapping[str, str]) -> ExternalIdentity: ...


@runtime_checkable
class Asking(Provider, Protocol):
    """Signs in with a name and a password that pass through us (LDAP, Active Directory)."""

    def authenticate(self, login: str, password: str) -> ExternalIdentity: ...


@runtime_checkable
class LoggingOut(Protocol):
    """Ends the provider's session too, and hears when the provider ends it.

    `leave` gives None where the provider has no such address. `hear` gives None when what came is only the answer to a
    request of ours (a SAML LogoutResponse): nobody's session ends by it, the browser goes on to where `leave` said.
    """

    def leave(self, keep: bytes, back: str, state: str) -> Departure | None: ...

    def hear(self, arrival: Arrival) -> Ended | None: ...


@runtime_checkable
class Publishing(Protocol):
    """Has a document about us that the provider's administrator is given (SAML metadata), at `…/metadata`."""

    media_type: str

    def metadata(self) -> bytes: ...


@runtime_checkable
class Renewing(Protocol):
    """Asks again who somebody is, without them: groups stay fresh. IdentityRefused: they are nobody there any more."""

    def renew(self, keep: bytes) -> ExternalIdentity: ...


@runtime_checkable
class Surveying(Protocol):
    """Looks up known subjects without a sign-in; who is not among the answers is gone there, or disabled."""

    def survey(self, subjects: Collection[str]) -> Iterable[ExternalIdentity]: ...


@runtime_checkable
class Vouching(Protocol):
    """Judges a credential of the provider that a client presents in a token exchange (RFC 8693 section 2.1).

    `audience` is our issuer, `recipient` our token endpoint (RFC 7522 section 3). An ID token has to be for one of the
    client ids that the provider is configured to accept; `presented_to` says which.
    """

    subject_token_type: str

    def answers_for(self, issuer: str) -> bool:
        """Whether credentials of this issuer are this provider's to judge."""

    def vouch(self, credential: str, audience: str, recipient: str) -> ExternalIdentity: ...


@dataclass(frozen=True, slots=True)
class Lent:
    """Something that stands for a person, or for our app, until then (seconds since the epoch)."""

    token: str = field(repr=False)
    until: float


@runtime_checkable
class Lending(Protocol):
    """Gives the ID token of somebody who is signed in, for an exchange elsewhere.

    This and what follows give None where what was kept has run out (`renew`, and ask again with what that keeps), and
    raise IdentityRefused where the person has to sign in again.
    """

    def identity_token(self, keep: bytes) -> Lent | None: ...


@runtime_checkable
class Asserting(Protocol):
    """Vouches for somebody who is signed in, to the authorization server `audience` for its `resource`: an identity
    assertion authorization grant (ID-JAG), bought with their ID token (RFC 8693).
    """

    def assertion(self, keep: bytes, audience: str, resource: str, scopes: Sequence[str]) -> Lent | None: ...


@runtime_checkable
class Standing(Protocol):
    """Gives a token for another app on behalf of somebody who is signed in to ours (Entra ID's on-behalf-of flow).

    `on_our_own` is the same for our app itself, where it may have one (RFC 6749 section 4.4).
    """

    def on_behalf(self, keep: bytes, scopes: Sequence[str]) -> Lent | None: ...

    def on_our_own(self, scopes: Sequence[str]) -> Lent: ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer that came whole. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Http(Protocol):
    """The guarded way out: pinned addresses, no redirects, no environment. Raises ProviderDown."""

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] = ..., body: bytes = ..., limit: int, timeout: float
    ) -> HttpAnswer: ...


@dataclass(frozen=True, slots=True)
class Verified:
    """A JWS whose signature one of the given keys made. What its claims mean is not judged yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


class VerifyJwt(Protocol):
    """`keys` are public JWKs (RFC 7517), `algorithms` the ones that are accepted. Raises IdentityRefused."""

    def __call__(self, token: str, keys: Sequence[Mapping[str, Any]], algorithms: Collection[str]) -> Verified: ...


class SignJwt(Protocol):
    """A JWT (RFC 7519) of `claims`, signed as the private key `pem` signs, named by `kid`. Raises ProviderDown."""

    def __call__(self, claims: Mapping[str, Any], pem: bytes, kid: str = "") -> str: ...


class Once(Protocol):
    """True the first time `key` is marked, in any process; the mark stays until `until` (seconds since the epoch)."""

    def __call__(self, key: str, until: float) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What an adapter is handed. `secret` gives a stored secret of this provider by its purpose."""

    slug: str
    base_url: str  # ours; an adapter's addresses are under {base_url}/signin/{slug}/
    http: Http
    verify_jwt: VerifyJwt
    sign_jwt: SignJwt
    once: Once
    secret: Callable[[str], bytes]
    now: Callable[[], float]


class IdentityProblem(Exception):
    """The root. `reason` is a machine word for the record; the text is for the person, and holds nothing foreign."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class IdentityRefused(IdentityProblem):
    """Whoever this is, the answer is no: a forged, stale or foreign credential, a wrong password, a locked account."""


class ProviderDown(IdentityProblem):
    """The provider cannot be asked just now, or answers what no provider would; nobody is signed in, nobody ends."""
