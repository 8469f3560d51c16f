"""The groups of somebody who has too many for a token, from Microsoft Graph. All of them, or the sign-in fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from idp_adapters.contract import ProviderDown
from idp_adapters.oidc.discovery import TIMEOUT, read_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from idp_adapters.contract import Equipment

PAGE_LIMIT = 1024 * 1024
MOST_PAGES = 10
WHAT = "transitiveMemberOf/microsoft.graph.group?$select=id&$top=999"


def too_many(claims: Mapping[str, Any]) -> bool:
    """Whether the token says that it leaves the groups out: `_claim_names` (over 200), or `hasgroups`.

    The address in `_claim_sources` is of a service that is gone, and no address to be taken from a token anyway.
    """
    names = claims.get("_claim_names")
    return (isinstance(names, dict) and "groups" in names) or bool(claims.get("hasgroups"))


def groups(equipment: Equipment, base: str, token: str, person: str = "") -> list[str]:
    """The ids of all groups of the person with this object id, or of the one whose token this is."""
    whose = f"users/{quote(person, safe='')}" if person else "me"
    return [_id(entry) for page in _pages(equipment, base, f"{base}/{whose}/{WHAT}", token) for entry in page]


def may_read_groups(equipment: Equipment, base: str, token: str) -> bool:
    return _asked(equipment, f"{base}/groups?$select=id&$top=1", token) is not None


def _pages(equipment: Equipment, base: str, url: str, token: str) -> Iterator[list[Any]]:
    for _ in range(MOST_PAGES):
        page = _asked(equipment, url, token)
        if page is None:
            raise ProviderDown("graph_forbidden", "Microsoft Graph does not let us read groups (GroupMember.Read.All)")
        listed = page.get("value")
        if not isinstance(listed, list):
            raise ProviderDown("graph", "Microsoft Graph answered without a list of groups")
        yield listed
        if "@odata.nextLink" not in page:
            return
        url = _next(page["@odata.nextLink"], base)
    raise ProviderDown("graph_endless", f"Microsoft Graph gave more than {MOST_PAGES} pages of groups")


def _next(link: Any, base: str) -> str:
    """Our token goes to the configured service, wherever an answer points."""
    if not isinstance(link, str) or not link.startswith(f"{base}/") or not link.isprintable():
        raise ProviderDown("graph_next", "Microsoft Graph points to a next page that is not its own")
    return link


def _asked(equipment: Equipment, url: str, token: str) -> dict[str, Any] | None:
    """None: the token does not allow it."""
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    answer = equipment.http.send("GET", url, headers=headers, body=b"", limit=PAGE_LIMIT, timeout=TIMEOUT)
    if answer.status in {401, 403}:
        return None
    if answer.status != 200:
        raise ProviderDown("graph", f"Microsoft Graph answered {answer.status}")
    return read_object(answer.body, "Microsoft Graph's answer")


def _id(entry: Any) -> str:
    found = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(found, str) or not found:
        raise ProviderDown("graph", "Microsoft Graph named a group without an id")
    return found
