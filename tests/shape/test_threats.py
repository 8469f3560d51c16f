"""The threats that were counted on, and their proofs: each has a test with its number, and no test has another number.

docs/threats.md says the same to people, and is held to this table.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBERS = re.compile(r"t_(\d{2,3})(?:_to_t_(\d{2,3}))?(?!\d)")

THREATS = {
    1: "a credential is missing, doubled, misplaced or no bearer token",
    2: "a part of the token check breaks instead of answering",
    3: "a token for another resource is brought to this one",
    4: "another kind of token is brought as an access token",
    5: "a token bears no signature",
    6: "a token is signed by another algorithm or key",
    7: "a token brings the key that it is to be checked with",
    8: "a key id is a path, a statement, a flood",
    9: "a token has an extension that must be understood, or a claim twice",
    10: "a token is too old, too young, or its times are no times",
    11: "a token claims a long life",
    12: "a token is huge, deep, or inflates",
    13: "a stolen token that is bound to a key is presented without it",
    14: "one proof of a key is shown at two doors at once",
    15: "an exchange gives more than what it was made of",
    16: "an agent passes for the person it acts for, or hides behind many",
    17: "something that is wrong with an exchange is passed over",
    18: "a tool token is used again, elsewhere, or for another token",
    19: "a refresh token is used again, or by many at once",
    20: "somebody goes on refreshing after being disabled",
    21: "a client ends or asks about the tokens of another",
    22: "a code is asked for without proof of who asked",
    23: "a redirect leads nearly where it may",
    24: "a browser is signed in, or made to answer, as somebody else",
    25: "an answer seems to come from another issuer",
    26: "a code is used twice, or by many at once",
    27: "one client rides on what was allowed to another",
    28: "our pages are framed, or their forms sent by others",
    29: "a client's own document lies about it, or is where we must not go",
    30: "what one server's authorization server answers is brought to another's, or to somebody else",
    31: "a signature is wrapped: one thing is verified and another is read",
    32: "a SAML message is unsigned, oddly signed, or signed by somebody else",
    33: "an XML document does more than say something, or what verifies it does not answer",
    34: "an assertion is used twice",
    35: "an assertion is for somebody else, another time, or another question",
    36: "a name is a filter, several people, or somebody else to a directory",
    37: "a password is none, and a directory calls that success",
    38: "a directory sends us elsewhere, speaks in the open, keeps silent, or never stops",
    39: "a token is of another tenant, its names move, or its groups are left out",
    40: "the policy is empty, broken, or being replaced",
    41: "a name is nearly that of something else",
    42: "a rule has a program in it",
    43: "the policy grows until nobody waits for its answer",
    44: "a server is registered where we must not go",
    45: "a server sends us elsewhere",
    46: "a name leads elsewhere when it is looked at again",
    47: "a forbidden address is in disguise",
    48: "what a caller says gets into the address or headers of a server's request",
    49: "a credential is lured to another origin",
    50: "a body is read differently by two readers",
    51: "a body costs more than it should",
    52: "headers and body say different things",
    53: "an answer reaches somebody else",
    54: "an id is taken for a right",
    55: "the state of a call is changed or carried elsewhere while the client has it",
    56: "what one provider or person has is asked for by another",
    57: "a website of somebody else speaks to us through a browser",
    58: "an address is spelled so that two readers see two routes",
    59: "a request is framed so that two parsers see two requests",
    60: "a definition speaks to the model instead of describing",
    61: "it does so in a field that nobody looks at",
    62: "a definition changes after it was approved",
    63: "a server's list changes, or goes to and fro",
    64: "a name is the twin of another",
    65: "a text has characters that nobody sees",
    66: "a schema hurts whoever reads it",
    67: "an error of a server is mistaken for one of ours",
    70: "a client never finishes its head",
    71: "a client never finishes its body, or never reads",
    72: "a server's answer never ends",
    73: "a server answers late or never",
    74: "a server answers with what is no answer",
    75: "a server answers another question, or another caller",
    76: "a server's answer inflates",
    77: "a server keeps failing",
    79: "a journal is changed afterwards",
    80: "the journal cannot be written",
    81: "the gateway is killed at any instant",
    82: "it is killed between a server's answer and its record",
    83: "the disk is full",
    84: "something is revoked while it is in use",
    85: "what tells us of revocations is cut off",
    89: "the clock of our machine is moved",
    90: "text is sent that would be a statement",
    91: "the database, its backup or the journal is stolen",
    92: "a sealed secret is moved, rolled back or changed",
    93: "a secret gets into a log, a metric, an error or a record",
    94: "text is sent that would be a line of its own in the record",
    95: "one person does alone what needs two",
    96: "one door's credential is tried at another",
    98: "a configuration is unsafe",
    101: "a server that is a process of ours reaches out of its sandbox",
    102: "somebody makes us start a process",
}


@cache
def proofs() -> dict[int, set[str]]:
    """The tests that carry a number, by number."""
    found: dict[int, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in _numbers(node.name):
                    found.setdefault(number, set()).add(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def _numbers(name: str) -> set[int]:
    spans = [(int(first), int(last or first)) for first, last in NUMBERS.findall(name)]
    return {number for first, last in spans for number in range(first, last + 1)}


def test_every_threat_has_a_test_with_its_number() -> None:
    assert not [f"T-{number:02}" for number in THREATS if number not in proofs()]


def test_no_test_has_a_number_that_is_not_in_the_table() -> None:
    assert not {f"T-{number:02}": tests for number, tests in proofs().items() if number not in THREATS}


def test_every_number_of_a_file_is_in_the_table() -> None:
    names = {path.name: _numbers(path.stem) for path in (ROOT / "tests").rglob("test_t_*.py")}
    assert not {name: numbers - set(THREATS) for name, numbers in names.items() if not numbers & set(THREATS)}


def test_the_document_has_a_row_for_every_threat_and_names_where_it_is_proved() -> None:
    text = (ROOT / "docs/threats.md").read_text()
    rows = {int(number): rest for number, rest in re.findall(r"^\| T-(\d{2,3}) \| (.*) \|$", text, re.MULTILINE)}
    assert set(rows) == set(THREATS)
    for number, row in rows.items():
        what, _, where = row.partition(" | ")
        assert what == THREATS[number]
        files = set(re.findall(r"`([\w/]+\.py)`", where))
        assert files, number
        assert files <= {test.partition("::")[0].removeprefix("tests/") for test in proofs()[number]}, number
