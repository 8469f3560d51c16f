"""Answers of token endpoints that are older than the standard, or careless of it, as the standard has them.

Only of authorization servers that an administrator wrote down (ADR 33): of any other such an answer is not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BEARER: Final = frozenset({"", "bearer", "bot", "user"})  # LinkedIn and Shopify say nothing, Slack whose it is


def standard(members: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 6749 section 5.1: GitHub parts scopes with commas, Twitch lists them, Mailchimp's 0 seconds are no end."""
    said = dict(members)
    if str(said.get("token_type") or "").lower() in BEARER:
        said["token_type"] = "Bearer"  # noqa: S105
    scope = said.get("scope")
    if isinstance(scope, list):
        scope = " ".join(one for one in scope if isinstance(one, str))
    if isinstance(scope, str):
        said["scope"] = scope.replace(",", " ")
    if said.get("expires_in") in {0, "0"}:
        del said["expires_in"]
    return said
