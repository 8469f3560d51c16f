"""What an OpenID provider says about itself, and the keys that it signs with: fetched, judged, kept for a while."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from idp_adapters.contract import IdentityRefused, ProviderDown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from idp_adapters.contract import Equipment, HttpAnswer, Verified

WELL_KNOWN = "/.well-known/openid-configuration"
DOCUMENT_LIMIT = 256 * 1024
TIMEOUT = 10.0
LIFE = 600.0  # seconds until a document is fetched again
KEYS_LIFE = 60.0  # the same for keys: so long may one that was withdrawn still count
BETWEEN = 10.0  # seconds at least between two fetches that a token caused: anybody can write an unknown `kid`
HOLD_OFF = 5.0  # seconds for which a failure is the answer, so that threads do not queue for a provider that is down
MOST_KEYS = 64

Document = TypeVar("Document")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The parts that we use (OpenID Connect Discovery 1.0 section 3, RFC 9207 section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    promises_iss: bool = False
    claims_supported: frozenset[str] = frozenset()
    ahead: float = 0.0  # seconds by which its clock was ahead of ours
    document: Mapping[str, Any] = field(repr=False)  # as it came


class Cached(Generic[Document]):
    """One document. One thread fetches it, the others wait for what it got; a failure is kept for a moment too."""

    def __init__(self, fetch: Callable[[], Document], now: Callable[[], float]) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._found: Document | None = None
        self._found_at = 0.0
        self._failure: ProviderDown | None = None
        self._failed_at = 0.0

    def get(self, within: float = LIFE) -> Document:
        """The document, not older than `within` seconds. Raises ProviderDown."""
        with self._lock:
            now = self._now()
            if self._found is not None and now - self._found_at < within:
                return self._found
            if self._failure is not None and now - self._failed_at < HOLD_OFF:
                raise ProviderDown(self._failure.reason, str(self._failure))
            return self._fetched(now)

    def _fetched(self, now: float) -> Document:
        try:
            self._found = self._fetch()
        except ProviderDown as down:
            self._failure, self._failed_at = down, now
            raise
        self._found_at, self._failure = now, None
        return self._found


class Issuer:
    """An issuer: its metadata and its keys. `name` has to be what the document says it is, to the letter."""

    def __init__(self, equipment: Equipment, name: str, metadata_url: str = "") -> None:
        self.name = name
        self._equipment = equipment
        self.metadata_url = metadata_url or name.removesuffix("/") + WELL_KNOWN  # Discovery 1.0 section 4
        self._metadata = Cached(self._fetch_metadata, equipment.now)
        self._keys = Cached(self._fetch_keys, equipment.now)

    def metadata(self) -> Metadata:
        return self._metadata.get()

    def keys(self) -> Sequence[Mapping[str, Any]]:
        return self._keys.get(KEYS_LIFE)

    def verify(self, token: str, algorithms: Collection[str]) -> Verified:
        """Whose signature holds. Where none of our keys made it, they may have changed: they are asked for again."""
        known = self._keys.get(KEYS_LIFE)
        try:
            return self._equipment.verify_jwt(token, known, algorithms)
        except IdentityRefused as refused:
            if refused.reason != "jwt_signature":
                raise
            newer = self._keys.get(within=BETWEEN)
            if newer is known:
                raise
        return self._equipment.verify_jwt(token, newer, algorithms)

    def _fetch_metadata(self) -> Metadata:
        answer = fetch(self._equipment, self.metadata_url)
        document = read_object(answer.body, "the discovery document")
        if document.get("issuer") != self.name:
            raise ProviderDown("wrong_issuer", self._wrong_issuer(document))
        return _metadata_of(document, self.name, _ahead(answer, self._equipment.now()))

    def _wrong_issuer(self, document: Mapping[str, Any]) -> str:
        said = document.get("issuer")
        slash = isinstance(said, str) and said.rstrip("/") == self.name.rstrip("/")
        hint = "they differ by a slash at the end" if slash else "look it up in that document"
        return f"the discovery document at {self.metadata_url} names another issuer than {self.name} ({hint})"

    def _fetch_keys(self) -> Sequence[Mapping[str, Any]]:
        """RFC 7517 section 5."""
        answer = fetch(self._equipment, self.metadata().jwks_uri)
        keys = read_object(answer.body, "the key set").get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise ProviderDown("no_keys", "the key set holds no list of keys")
        if not 0 < len(keys) <= MOST_KEYS:
            raise ProviderDown("no_keys", f"the key set holds {len(keys)} keys; 1 to {MOST_KEYS} can be used")
        return tuple(keys)


def fetch(equipment: Equipment, url: str) -> HttpAnswer:
    answer = equipment.http.send(
        "GET", url, headers={"accept": "application/json"}, body=b"", limit=DOCUMENT_LIMIT, timeout=TIMEOUT
    )
    if answer.status != 200:
        raise ProviderDown("http_status", f"{url} answered {answer.status} instead of 200")
    return answer


def read_object(body: bytes, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderDown("not_json", f"{what} is not a JSON object") from error


def _metadata_of(document: dict[str, Any], issuer: str, ahead: float) -> Metadata:
    return Metadata(
        authorization_endpoint=_address(document, "authorization_endpoint", issuer),
        token_endpoint=_address(document, "token_endpoint", issuer),
        jwks_uri=_address(document, "jwks_uri", issuer),
        userinfo_endpoint=_address(document, "userinfo_endpoint", issuer, needed=False),
        end_session_endpoint=_address(document, "end_session_endpoint", issuer, needed=False),
        promises_iss=document.get("authorization_response_iss_parameter_supported") is True,
        claims_supported=frozenset(name for name in _list(document, "claims_supported") if isinstance(name, str)),
        ahead=ahead,
        document=document,
    )


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _address(document: Mapping[str, Any], name: str, issuer: str, *, needed: bool = True) -> str:
    """An address with a scheme as safe as the issuer's: people's browsers are sent to some of them as they stand."""
    value = document.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not _fit(value, issuer):
        raise ProviderDown("metadata", f"the discovery document has no usable {name}")
    return value


def _fit(address: str, issuer: str) -> bool:
    try:
        parts = urlsplit(address)
        allowed = {"https", urlsplit(issuer).scheme} & {"https", "http"}
        return parts.scheme in allowed and bool(parts.hostname) and not parts.fragment and address.isprintable()
    except ValueError:
        return False


def _ahead(answer: HttpAnswer, now: float) -> float:
    """By its Date header (RFC 9110 section 6.6.1); 0 where it does not say."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
