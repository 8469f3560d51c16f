"""What stands between people and the door: identity providers, second factors, provisioning. For `ostiary doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlmodel import col, select

from authz.people.accounts import LOCAL_ISSUER, admins
from authz.people.providers import mappings
from authz.principals import ADMINS
from authz.tables import Group, Person, Provider, ScimToken, SecondFactor
from gateway.identity.registering import stored_secrets
from gateway.operating.checks import Check, State
from gateway.settings import SecondFactor as Demanded
from idp_adapters.config import ConfigRefused, missing, read_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from gateway.office import Office

DAY: Final = 86400.0
SCIM_WARNING: Final = 30 * DAY  # somebody has to take the new token to the provider


def administrators(office: Office, _now: float) -> Iterator[Check]:
    with office.database.read() as session:
        count = admins(session)
    if count == 0:
        yield Check("administrators", State.RED, "there is none, so nobody can review servers", "ostiary admin link")
    elif count == 1:
        why = "there is one, who proposes and approves alone; with two, nobody approves what they proposed"
        yield Check("administrators", State.AMBER, why, "ostiary user admin NAME")
    else:
        yield Check("administrators", State.GREEN, f"{count}")


def providers(office: Office, _now: float) -> Iterator[Check]:
    """What can be seen without asking anybody; `ostiary idp test` walks the connection."""
    with office.database.read() as session:
        for row in session.exec(select(Provider).order_by(col(Provider.slug))):
            yield _provider(session, row)


def _provider(session: Session, row: Provider) -> Check:
    name, slug = f"identity provider {row.slug}", row.slug
    if row.disabled_at is not None:
        return Check(
            name, State.AMBER, "is disabled: nobody signs in there", f"ostiary idp enable {slug}, or remove it"
        )
    problems = _problems(session, row)
    if problems:
        return Check(name, State.RED, "; ".join(problems), f"then ostiary idp test {slug}")
    mapped = {mapping.group for mapping in mappings(session, slug)}
    lost = sorted(group for group in mapped if session.get(Group, group) is None)
    if lost:
        return Check(name, State.AMBER, f"maps to {', '.join(lost)}, which is no group", f"ostiary group add {lost[0]}")
    if not mapped:
        remedy = f"ostiary idp map {slug} groups VALUE GROUP"
        return Check(name, State.AMBER, "no mapping: its people sign in, but are in no group", remedy)
    above = "; some of its people are administrators by a mapping" if ADMINS in mapped else ""
    return Check(name, State.GREEN, f"`ostiary idp test {slug}` walks the connection{above}")


def _problems(session: Session, row: Provider) -> list[str]:
    try:
        needed = read_config(row.kind, row.config).needs()
    except ConfigRefused as refused:
        return refused.problems
    absent = sorted(needed - stored_secrets(session, row.slug))
    secrets = [f"its {purpose} is not stored: ostiary idp secret {row.slug} {purpose}" for purpose in absent]
    return missing(row.kind) + secrets


def second_factors(office: Office, _now: float) -> Iterator[Check]:
    """Of administrators with a password of ours; those of a provider have theirs there."""
    if office.settings.second_factor is not Demanded.OPTIONAL:
        return
    alone = (Person.issuer == LOCAL_ISSUER, col(Person.is_admin).is_(True), col(Person.disabled_at).is_(None))
    with office.database.read() as session:
        having = select(SecondFactor.person)
        names = session.exec(select(Person.handle).where(*alone, col(Person.id).not_in(having))).all()
    if names:
        why = f"a password alone makes an administrator of whoever has it: {', '.join(sorted(names))}"
        yield Check("second factor", State.AMBER, why, "second_factor = admins, or they set one up on /account")


def provisioning(office: Office, now: float) -> Iterator[Check]:
    """Without a token that works, a provider cannot say who has left."""
    with office.database.read() as session:
        rows = session.exec(select(ScimToken).where(col(ScimToken.ended_at).is_(None))).all()
    last: dict[str, float] = {}
    for row in rows:
        last[row.provider] = max(row.expires_at, last.get(row.provider, 0.0))
    for provider, until in sorted(last.items()):
        yield _scim_token(provider, until - now)


def _scim_token(provider: str, left: float) -> Check:
    name, remedy = f"provisioning {provider}", f"ostiary scim token {provider}, and take it to the provider"
    if left <= 0:
        return Check(name, State.RED, "its token has expired: the provider cannot say who has left", remedy)
    why = f"its token expires in {left / DAY:.0f} days"
    return Check(name, State.AMBER, why, remedy) if left < SCIM_WARNING else Check(name, State.GREEN, why)
