"""A refusal in words that a person or a model can act on: what is refused to whom, why, and whom to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.policy.decisions import Action, Word
from authz.scopes import scope_for

if TYPE_CHECKING:
    from authz.policy.decisions import Party, Verdict

VERB = {Action.CALL: "call", Action.READ: "read", Action.GET: "use"}  # everything else is seeing
ADMINISTRATOR = "Do not retry. Ask an administrator of this gateway"


def explain(
    verdict: Verdict, principal: Party, party: Party, name: str, action: Action, decision: str
) -> tuple[str, str]:
    """Reason and remedy. `party` is who is refused: `principal`, or somebody acting for them. The id of the decision is
    said in the remedy, because people see the text of an answer and never its `_meta`.
    """
    if verdict.allowed:
        return "allowed", ""
    who = party.label if party is principal else f"{party.label}, acting for {principal.label},"
    verb = VERB.get(action, "see")
    if verdict.word is Word.SCOPE:
        return (
            f"The access token does not cover {name}, although {who} may {verb} it.",
            f"Ask for a token with the scope {scope_for(name)} (or mcp) and try again.",
        )
    if verdict.word is Word.STEP_UP:
        needs = verdict.needs.in_words if verdict.needs is not None else "of a stronger sign-in"
        return (
            f"{who} may {verb} {name}, but not with this token: a rule wants one {needs}.",
            f"Get a token {needs}, and try again.",
        )
    return _reason(verdict, who, f"{verb} {name}"), _remedy(verdict, party.label, f"{verb} {name}", decision)


def _reason(verdict: Verdict, who: str, deed: str) -> str:
    note = f": {verdict.note.rstrip('.')}." if verdict.note else "."
    if verdict.word is Word.DENIED:
        return f"A rule forbids {who} to {deed}{note}"
    if verdict.word is Word.NO_RULE:
        return f"No rule allows {who} to {deed} here{note}"
    if verdict.word is Word.NO_POLICY:
        return f"No rule is in force, so nobody may {deed}."
    if verdict.word is Word.NAME:
        return "This is not the name of anything that policy can allow."
    return f"Whether {who} may {deed} could not be found out, so it is refused."


def _remedy(verdict: Verdict, label: str, deed: str, decision: str) -> str:
    if verdict.word is Word.NAME:
        return "List what is available and use a name from there."
    if verdict.word in {Word.FAULT, Word.TOO_SLOW}:
        return f"Try again once. If it happens again, give an administrator of this gateway the decision id {decision}."
    return f"{ADMINISTRATOR} to allow {label} to {deed}, and give the decision id {decision}."
