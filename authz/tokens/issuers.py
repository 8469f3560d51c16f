"""Issuers whose assertions we take, and which agent a workload is (RFC 7523; MCP enterprise-managed authorization)."""

from __future__ import annotations

import secrets
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from authz.errors import AssertionRefused, IssuerRefused
from authz.fingerprints import fingerprint
from authz.tables import TrustedIssuer, WorkloadRule
from authz.tokens.cutoffs import Cut, cut_off

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlmodel import Session

CLAIM_LIMIT = 16  # in one rule


class IssuerKind(StrEnum):
    """What an issuer is trusted with; one that does both is listed twice."""

    IDENTITY = "identity"  # says who a person is, in ID-JAGs
    WORKLOAD = "workload"  # says which workload runs: a Kubernetes cluster, a SPIFFE trust domain


def trusted(session: Session, issuer: str, kind: IssuerKind) -> TrustedIssuer:
    """The issuer, spelled exactly as it was registered. Raises AssertionRefused."""
    found = session.get(TrustedIssuer, (issuer, kind))
    if found is None:
        raise AssertionRefused("issuer")
    return found


def add_issuer(
    session: Session,
    issuer: str,
    kind: IssuerKind,
    *,
    keys: dict[str, Any] | None = None,
    keys_uri: str = "",
    provider: str = "",
) -> TrustedIssuer:
    """Trusts `issuer`, by its keys or where they are; `provider` says whose people an identity issuer knows."""
    if (keys is None) == (not keys_uri):
        raise IssuerRefused("give the issuer's keys or the address of them, one of the two")
    if (kind is IssuerKind.IDENTITY) != bool(provider):
        raise IssuerRefused(
            "an identity issuer belongs to an identity provider (--provider SLUG), a workload's to none"
        )
    if session.get(TrustedIssuer, (issuer, kind)) is not None:
        raise IssuerRefused(f"{issuer} is trusted already; `ostiary issuer remove` it first")
    row = TrustedIssuer(
        issuer=issuer, kind=kind, keys=keys, keys_uri=keys_uri, provider=provider, created_at=time.time()
    )
    session.add(row)
    session.flush()
    return row


def remove_issuer(session: Session, issuer: str, kind: IssuerKind, now: float) -> None:
    """Trusts it no longer; the tokens that its assertions led to end."""
    row = session.get(TrustedIssuer, (issuer, kind))
    if row is None:
        raise IssuerRefused(f"{issuer} is not trusted as {kind}; `ostiary issuer list` shows which are")
    session.delete(row)
    if kind is IssuerKind.IDENTITY:
        cut_off(session, Cut.FAMILY, family_of(issuer), now=now)
        return
    for rule in rules_of(session, issuer):
        cut_off(session, Cut.PERSON, rule.agent, now=now)
        session.delete(rule)


def family_of(issuer: str) -> str:
    """What tokens by identities of an issuer belong to, so that they end with it."""
    return f"issuer:{fingerprint(issuer)}"


def add_rule(session: Session, issuer: str, claims: Mapping[str, str], agent: str) -> WorkloadRule:
    """Whoever presents all of `claims` is `agent`. A rule without `sub` would be every workload of the issuer."""
    if session.get(TrustedIssuer, (issuer, IssuerKind.WORKLOAD)) is None:
        raise IssuerRefused(f"{issuer} is not trusted with workloads; `ostiary issuer add {issuer}` first")
    if not 0 < len(claims) <= CLAIM_LIMIT or not all(claims.values()):
        raise IssuerRefused(f"a rule needs 1 to {CLAIM_LIMIT} claims with values, for instance --claim sub=...")
    row = WorkloadRule(
        id=f"wlr_{secrets.token_hex(8)}", issuer=issuer, claims=dict(claims), agent=agent, created_at=time.time()
    )
    session.add(row)
    session.flush()
    return row


def remove_rule(session: Session, rule: str) -> WorkloadRule:
    row = session.get(WorkloadRule, rule)
    if row is None:
        raise IssuerRefused(f"there is no rule {rule}; `ostiary issuer list` shows those there are")
    session.delete(row)
    return row


def rules_of(session: Session, issuer: str) -> Sequence[WorkloadRule]:
    return session.exec(select(WorkloadRule).where(WorkloadRule.issuer == issuer).order_by(col(WorkloadRule.id))).all()


def agent_of(session: Session, issuer: str, claims: Mapping[str, Any]) -> str:
    """The one agent that a workload with these claims is. Two that fit are none: nobody guesses. AssertionRefused."""
    fitting = {rule.agent for rule in rules_of(session, issuer) if _fits(rule.claims, claims)}
    if len(fitting) != 1:
        raise AssertionRefused("ambiguous_workload" if fitting else "unknown_workload")
    return fitting.pop()


def _fits(wanted: Mapping[str, str], claims: Mapping[str, Any]) -> bool:
    return all(_at(claims, name) == value for name, value in wanted.items())


def _at(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path into one; names may hold slashes themselves (`kubernetes.io/pod/name`)."""
    if name in claims:
        return claims[name]
    here: Any = claims
    rest = name
    while rest:
        step = next((key for key in here if rest == key or rest.startswith(f"{key}/")), None) if _is_map(here) else None
        if step is None:
            return None
        here, rest = here[step], rest[len(step) + 1 :]
    return here


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)
