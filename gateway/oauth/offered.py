"""What there is at a resource, and what somebody with all who act for them may use of it at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.policy.decisions import USED_AS
from authz.policy.suppose import Supposed
from gateway.oauth.problems import InvalidGrant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.assurance import Assurance, Assured
    from authz.policy.decisions import Action, Party
    from gateway.snapshots import Snapshot


class Offered:
    """Everything approved at one resource, as one chain of parties is asked about it."""

    def __init__(self, snapshot: Snapshot, path: str, party: Party) -> None:
        mount = snapshot.catalogue.mounts.get(path)
        self._policy, self._party = snapshot.policy, party
        self._portal = mount.portal if mount is not None else ""
        self._actions: dict[str, set[Action]] = {}
        for entry in mount.entries() if mount is not None else ():
            self._actions.setdefault(entry.object, set()).add(USED_AS[entry.kind])

    @property
    def things(self) -> Sequence[str]:
        """Their objects."""
        return tuple(self._actions)

    def may_use(self, thing: str) -> bool:
        return any(self._policy.decide(self._party, self._portal, thing, action) for action in self._actions[thing])

    def lacking(self, thing: str) -> Assurance | None:
        """What a stronger sign-in would have to give, where that alone is in the way."""
        asked = (self._policy.decide(self._party, self._portal, thing, use) for use in self._actions.get(thing, ()))
        return next((decision.needs for decision in asked if decision.stronger_token_helps), None)


def supposed(snapshot: Snapshot, chain: Sequence[str], client: str, assured: Assured, now: float) -> Supposed:
    """The first of `chain`, and each acted for by the one after; everybody has to be enabled."""
    member = snapshot.members.get(chain[0])
    if member is None:
        raise InvalidGrant("whoever this is for, or acts in it, is not enabled here any more")
    actor = supposed(snapshot, chain[1:], client, assured, now) if chain[1:] else None
    return Supposed(label=member.label, subjects=member.subjects(now), client=client, actor=actor, assured=assured)
