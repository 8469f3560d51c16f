"""What a person reads where something else is written: letters of other scripts, styles and signs that look like a-z.

After Unicode TS 39, section 4, as far as a word can be spelled with them; no letter of a name is changed by it.
"""

# ruff: noqa: RUF001 - this is the list of them
from __future__ import annotations

import unicodedata
from typing import Final

from registry.screening.hidden import bare

_SPELLED: Final = {
    "a": "аАαΑɑᴀᎪ@ª", "b": "вВЬьβΒʙᏴ", "c": "сСϲϹᴄᏟ¢", "d": "ԁᴅᎠđ", "e": "еЕёЁεΕᴇᎬ3€", "f": "ꜰϜ", "g": "ɡɢցᏀ",
    "h": "һнНΗʜհᎻ", "i": "іІΙιıɪᎥ1!", "j": "јЈᴊᎫȷ", "k": "кКκΚᴋᏦ", "l": "ӏӀʟᏞ|ǀł", "m": "мМΜᴍᎷ", "n": "пηΝɴո",
    "o": "оОοΟσᴏօ0ø", "p": "рРρΡᴘᏢ", "q": "ԛզ", "r": "гʀᎡ", "s": "ѕЅꜱᏚ5$", "t": "тТτΤᴛᎢŧ", "u": "υᴜսц", "v": "ѵνᴠᏙ",
    "w": "ԝωᴡᏔɯш", "x": "хХχΧ", "y": "уУγΥʏ", "z": "ΖᴢᏃ",
}  # fmt: skip
_ROUND: Final = {0x1F150 + place: chr(0x61 + place) for place in range(26)}  # white letters in black circles
_SQUARE: Final = {0x1F170 + place: chr(0x61 + place) for place in range(26)}
_AS_LATIN: Final = {ord(char): letter for letter, chars in _SPELLED.items() for char in chars} | _ROUND | _SQUARE


def read_as(text: str) -> str:
    """`text` as a hasty eye takes it: without what is not seen, without marks, in a to z where it looks like that."""
    plain = unicodedata.normalize("NFKD", bare(text)).translate(_AS_LATIN)
    return "".join(char for char in plain if unicodedata.category(char) not in {"Mn", "Me"}).casefold()
