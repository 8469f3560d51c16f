"""`idp test` for SAML: from the program that verifies to what the provider's administrator has to be given."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509

from idp_adapters.contract import Finding, IdentityProblem, ProviderDown
from idp_adapters.saml import keys, xmlsec
from idp_adapters.saml.judging import LEEWAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_adapters.contract import Equipment
    from idp_adapters.saml.config import SamlConfig
    from idp_adapters.saml.idp import IdpMetadata, MetadataSource


def walk(config: SamlConfig, equipment: Equipment, source: MetadataSource, us: str) -> Iterator[Finding]:
    """Stops at the first step that fails."""
    step = "xmlsec1"
    try:
        yield Finding(step, ok=True, words=_program())
        step = "our key"
        yield Finding(step, ok=True, words=_key(equipment))
        step = "metadata"
        document = source.fetch()
        yield Finding(step, ok=True, words=f"{len(document)} bytes from {config.metadata_file or config.metadata_url}")
        step = "what it says"
        found = source.judge(document)
    except IdentityProblem as problem:
        yield Finding(step, ok=False, words=str(problem))
        return
    clock = _clock(source.ahead)
    yield clock
    if not clock.ok:
        return
    yield from _said(found, equipment.now())
    yield Finding("next", ok=True, words=f"give the provider our metadata: {us}")


def _program() -> str:
    place = xmlsec.located()
    version = xmlsec.version(place)
    if not version:
        raise ProviderDown("saml_xmlsec_broken", f"{place} does not say its version: is it the xmlsec1 program?")
    return f"{place}, version {'.'.join(str(part) for part in version)}"


def _key(equipment: Equipment) -> str:
    certificate = keys.read(equipment.secret("sp_key")).certificate
    left = certificate.not_valid_after_utc - dt.datetime.fromtimestamp(equipment.now(), dt.UTC)
    return f"certificate {certificate.subject.rfc4514_string()}, {left.days} days left"


def _clock(ahead: float) -> Finding:
    """What a provider states holds for minutes: a clock that is wrong refuses everybody."""
    if abs(ahead) <= LEEWAY:
        return Finding("clock", ok=True, words="agrees with the provider's")
    words = (
        f"ours is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the provider's: set it right (NTP)"
    )
    return Finding("clock", ok=False, words=words)


def _said(found: IdpMetadata, now: float) -> Iterator[Finding]:
    ends = [x509.load_pem_x509_certificate(pem).not_valid_after_utc for pem in found.certificates]
    old = sum(1 for end in ends if end.timestamp() < now)
    words = f"{len(ends)} to sign with" + (f", {old} past its date (which nothing depends on)" if old else "")
    yield Finding("what it says", ok=True, words=f"entity {found.entity_id}")
    yield Finding("certificates", ok=True, words=words)
    yield Finding("sign-in address", ok=True, words=found.sso)
    yield Finding("logout address", ok=True, words=found.slo or "none by redirect: signing out here stays here")
