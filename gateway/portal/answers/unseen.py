"""Characters of an answer that a person does not see and a model reads: counted for the record, never taken out.

An answer goes on as its server sent it, byte for byte (docs/decisions/0012). What is looked for here is what hidden
text is made of in practice; what living scripts and emoji need (joiners, style selectors) is left away.
"""

from __future__ import annotations

import re
from typing import Final

LOOKED_AT: Final = 64 * 1024  # bytes of one answer

# Zero width and direction; what is there to be seen by programs; letters without a shape. Tag characters and the second
# block of variation selectors: any text fits into them, letter by letter.
_UNSEEN: Final = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u115f\u1160\u3164\uffa0\u2800"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_ESCAPED: Final = re.compile(
    rb"\\u(?:20(?:0[bef]|2[a-e]|6[0-46-9])|feff|11(?:5f|60)|3164|ffa0|2800|db40\\ud[cd])", re.IGNORECASE
)


def unseen(answer: bytes) -> int:
    """How many there are in the first 64 KiB."""
    escaped = b"\\u" in answer
    if not escaped and answer.isascii():
        return 0
    part = answer[:LOOKED_AT]
    found = 0 if part.isascii() else len(_UNSEEN.findall(part.decode("utf-8", "replace")))
    return found + (len(_ESCAPED.findall(part)) if escaped else 0)
