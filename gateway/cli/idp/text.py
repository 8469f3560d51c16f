"""What the commands about identity providers print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.common import show
from gateway.cli.output import plain

if TYPE_CHECKING:
    from authz.tables import ClaimMapping, Provider
    from gateway.office import Office


def provider_row(row: Provider) -> dict[str, Any]:
    return {
        "slug": row.slug,
        "kind": row.kind,
        "title": row.title,
        "domains": row.domains,
        "state": "enabled" if row.disabled_at is None else "disabled",
        "declared": row.declared,
    }


def mapping_row(row: ClaimMapping) -> dict[str, str]:
    return {"claim": row.claim, "value": row.value, "group": row.group}


def details(office: Office, slug: str) -> dict[str, Any]:
    """All of a provider but its secrets, of which only the purposes are said."""
    from authz.people.external import people_of
    from authz.people.providers import find, mappings
    from gateway.identity.registering import stored_secrets

    with office.database.read() as session:
        row = find(session, slug)
        return provider_row(row) | {
            "config": row.config,
            "secrets": sorted(stored_secrets(session, slug)),
            "mappings": [mapping_row(mapping) for mapping in mappings(session, slug)],
            "people": len(people_of(session, slug)),
            "addresses": addresses(office, row),
        }


def addresses(office: Office, row: Provider) -> dict[str, str]:
    """Ours, as the provider's administrator has to be told them."""
    from idp_adapters.config import KINDS

    base = f"{office.settings.base_url}/signin/{row.slug}"
    if KINDS[row.kind].asks:
        return {}
    found = {"callback": f"{base}/callback", "logout": f"{base}/logout"}
    return found | ({"metadata": f"{base}/metadata"} if row.kind == "saml" else {})


def say_added(office: Office, slug: str, *, as_json: bool) -> None:
    found = details(office, slug)
    show(found, as_json=as_json, text=lambda: _added(found))


def described(found: dict[str, Any]) -> str:
    """As `ostiary idp show` prints it."""
    rows = [(name, found[name]) for name in ("slug", "kind", "title", "state", "people")]
    rows += [("domains", ", ".join(found["domains"])), ("secrets", ", ".join(found["secrets"]))]
    rows += [(name, value) for name, value in found["config"].items()]
    rows += [(f"{name} address", value) for name, value in found["addresses"].items()]
    rows += [("mapping", "{claim} {value} -> group:{group}".format(**one)) for one in found["mappings"]]
    return "\n".join(f"{name:18} {plain(value)}" for name, value in rows)


def _added(found: dict[str, Any]) -> str:
    from idp_adapters.config import missing

    slug = found["slug"]
    lines = [f"{slug} is stored. Tell the provider's administrator:"] if found["addresses"] else [f"{slug} is stored."]
    lines += [f"  {name:9} {value}" for name, value in found["addresses"].items()]
    lines += [f"Before it can work: {words}" for words in missing(found["kind"])]
    lines += [
        f"`ostiary idp test {slug}` walks the connection.",
        f"`ostiary idp map {slug} groups VALUE GROUP` says which of our groups its people are in.",
    ]
    return "\n".join(lines)
