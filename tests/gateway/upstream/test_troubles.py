from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import upstream
from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.remedies import remedy
from gateway.upstream.troubles import MEANINGS, Trouble
from registry.tables import Auth

DOCS = Path(__file__).parents[3] / "docs" / "servers.md"


@pytest.mark.parametrize("auth", ["", *Auth])
def test_every_kind_of_trouble_has_a_meaning_and_a_remedy_that_names_the_server_where_it_names_a_command(auth):
    assert set(MEANINGS) == set(Trouble)
    for trouble in Trouble:
        said = remedy(trouble, "notes", auth)
        assert said
        assert "{" not in said
        assert "ostiary server " not in said or "notes" in said


def test_the_remedy_for_a_credential_speaks_of_what_the_server_is_registered_with():
    assert "ostiary server auth notes MODE" in remedy(Trouble.CREDENTIAL, "notes", Auth.NONE)
    assert "ostiary server credential notes" in remedy(Trouble.CREDENTIAL, "notes", Auth.STATIC)
    assert "ostiary server credential" not in remedy(Trouble.CREDENTIAL, "notes", Auth.MINTED)
    assert "/connect/notes/shared" in remedy(Trouble.NOT_CONNECTED, "notes", Auth.OAUTH_PERSON)
    assert "/connect/" not in remedy(Trouble.NOT_CONNECTED, "notes", Auth.STATIC)


def test_the_documentation_lists_every_word():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (yes|no) \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [(str(word), one.what, "no" if one.ours else "yes") for word, one in MEANINGS.items()]


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (upstream.UpstreamUnreachable("x"), Trouble.UNREACHABLE),
        (upstream.UpstreamSlow("x"), Trouble.SLOW),
        (upstream.UpstreamBroken("x"), Trouble.PROTOCOL),
        (upstream.UpstreamBroken("x", Trouble.LOST), Trouble.LOST),
        (upstream.UpstreamBusy("x", 3), Trouble.BUSY),
        (CredentialRefused("x", 401), Trouble.CREDENTIAL),
        (CredentialUnavailable("x"), Trouble.CREDENTIAL),
        (ConnectionNeeded("notes", "", "x"), Trouble.NOT_CONNECTED),
    ],
)
def test_every_error_knows_its_kind(error, trouble):
    assert error.trouble is trouble
    assert str(error) == "x"


def test_a_word_of_another_release_has_no_remedy():
    assert remedy("made-up", "notes") == remedy("", "notes") == ""
