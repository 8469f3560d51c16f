"""URI templates (RFC 6570) as patterns that a URI is matched against, in time that grows with its length only."""

from __future__ import annotations

import re
from itertools import pairwise

LONGEST_URI = 4096
MOST_EXPRESSIONS = 8
_PART = re.compile(r"\{([+#./;?&]?)([A-Za-z0-9_.%,:*]+)\}|([^{}]+)")
_FORMS = {
    "": "[^/?#]+",
    "+": ".+",
    "#": "(?:#.*)?",
    ".": r"(?:\.[^/?#]*)?",
    "/": "(?:/[^?#]*)?",
    ";": "(?:;[^/?#]*)?",
    "?": r"(?:\?[^#]*)?",
    "&": "(?:&[^#]*)?",
}


class TemplateError(ValueError):
    """The template is malformed, or larger than we match."""


def compile_template(template: str) -> re.Pattern[str]:
    """A pattern whose `fullmatch` says whether a URI may have come from `template`."""
    parts: list[str] = []
    end = 0
    for found in _PART.finditer(template):
        if found.start() != end:
            raise TemplateError("has a brace that belongs to no expression")
        end = found.end()
        parts.append(re.escape(found[3]) if found[3] else _FORMS[found[1]])
    if end != len(template) or not template:
        raise TemplateError("has a brace that belongs to no expression" if template else "is empty")
    _check(parts)
    return re.compile(f"(?=.{{1,{LONGEST_URI}}}\\Z){''.join(parts)}", re.DOTALL)


def _check(parts: list[str]) -> None:
    forms = set(_FORMS.values())
    if sum(part in forms for part in parts) > MOST_EXPRESSIONS:
        raise TemplateError(f"has more than {MOST_EXPRESSIONS} expressions")
    if sum(part == _FORMS["+"] for part in parts) > 2:
        raise TemplateError("has more than two expressions that match everything")
    if any(a in forms and b == a for a, b in pairwise(parts)):
        raise TemplateError("has two expressions side by side that cannot be told apart")
