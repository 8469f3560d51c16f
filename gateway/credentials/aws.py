"""AWS Signature Version 4: each request is signed with a key that itself is never sent.

After "Create a signed AWS API request" (AWS General Reference) and, for what it leaves open, AWS's own test suite.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from gateway.credentials import CredentialTampered, CredentialUnavailable, Held
from registry.addresses import exception_line
from registry.catalogue import Credential
from registry.credentials.authenticating import owner
from registry.credentials.modes.aws import AwsSettings
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.credentials import Asked
    from gateway.credentials.equipment import Equipment

ALGORITHM = "AWS4-HMAC-SHA256"
SECRET = "aws_secret"  # noqa: S105  # its purpose in the vault
S3 = "s3"  # whose paths are escaped once and left as they are, and which wants the content's digest in a header
_LINES = re.compile(rb"\s*([\x21-\x7e]+)(?:\s+([\x21-\x7e]+))?\s*")
_SPACES = re.compile(r" +")


class Aws:
    """The source of --auth aws-sigv4: a credential that signs. It lasts until the settings or the secret change."""

    def __init__(self, equipment: Equipment) -> None:
        self._office = equipment.office
        self._clock = equipment.clock

    def obtain(self, asked: Asked) -> Held:
        """Opens the secret key, and the session token (of STS) that stands below it where there is one."""
        upstream, settings = asked.upstream, asked.upstream.auth_settings
        assert isinstance(settings, AwsSettings)
        secret, session = self._open(upstream.slug)
        signer = Signer(
            region=settings.region,
            service=settings.service,
            access_key=settings.access_key,
            secret=secret,
            session=session,
            clock=self._clock,
        )
        credential = Credential(
            server=upstream.slug,
            origin=exception_line(upstream.url),
            header=b"authorization",
            value=b"",
            account=f"aws:{settings.access_key}",
            sign=signer,
        )
        return Held(credential=credential, renew_at=math.inf)

    def _open(self, slug: str) -> tuple[str, str]:
        """The key and the token, or an empty one."""
        with self._office.database.read() as session:
            try:
                kept = self._office.vault.open_secret(session, owner(slug), SECRET)
            except SecretRefused as error:
                raise CredentialTampered(f"the secret key for {slug} cannot be used; set it again") from error
        parts = _LINES.fullmatch(kept)
        if parts is None:
            raise CredentialUnavailable(f"the secret of {slug} is no secret access key; set it again")
        return parts[1].decode("ascii"), (parts[2] or b"").decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs requests of HTTP/1.1 with one key, for one service in one region."""

    region: str
    service: str
    access_key: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)
    clock: Callable[[], float] = time.time

    def __call__(self, head: bytes, body: bytes) -> bytes:
        """The lines that a request with this head needs besides."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock()))
        digest = hashlib.sha256(body).hexdigest()
        own = {"X-Amz-Date": stamp}
        if self.service == S3:
            own["X-Amz-Content-Sha256"] = digest
        if self.session:
            own["X-Amz-Security-Token"] = self.session
        authorization = self.authorization(head, own, digest, stamp)
        lines = [f"{name}: {value}\r\n" for name, value in (*own.items(), ("Authorization", authorization))]
        return "".join(lines).encode("ascii")

    def authorization(self, head: bytes, own: dict[str, str], digest: str, stamp: str) -> str:
        """The value of the header; `own` are the lines that we add."""
        first, *lines = head.decode("latin-1").removesuffix("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        signed = _signed([line.partition(":")[::2] for line in lines if line], own)
        names = ";".join(signed)
        path, _, query = target.partition("?")
        request = "\n".join(
            (
                *(method, canonical_path(path, self.service), canonical_query(query)),
                *(f"{name}:{value}" for name, value in signed.items()),
                *("", names, digest),
            )
        )
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        told = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode("latin-1")).hexdigest()))
        signature = hmac.new(self._key(stamp[:8]), told.encode("ascii"), hashlib.sha256).hexdigest()
        return f"{ALGORITHM} Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def canonical_path(path: str, service: str) -> str:
    """Without dot segments and doubled slashes, each segment escaped as it is on the wire and once more; not for S3."""
    if service == S3:
        return quote(unquote_to_bytes(path), safe="/~") or "/"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(quote(part, safe="~"))
    ending = "/" if parts and path.endswith(("/", "/.", "/..")) else ""
    return f"/{'/'.join(parts)}{ending}"


def canonical_query(query: str) -> str:
    """Names and values escaped in one way, in the order of their bytes."""
    pairs = (part.partition("=")[::2] for part in query.split("&") if part)
    return "&".join(
        f"{name}={value}" for name, value in sorted((_escaped(name), _escaped(value)) for name, value in pairs)
    )


def _escaped(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="~")


def _signed(lines: list[tuple[str, str]], own: dict[str, str]) -> dict[str, str]:
    """What is signed: to whom it goes, what kind of content it has, and all that is AWS's; by name, in order."""
    found: dict[str, list[str]] = {}
    for name, value in (*lines, *own.items()):
        small = name.lower()
        if small in {"host", "content-type"} or small.startswith("x-amz-"):
            found.setdefault(small, []).append(_SPACES.sub(" ", value.strip()))
    return {name: ",".join(found[name]) for name in sorted(found)}
