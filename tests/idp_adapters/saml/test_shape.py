"""Reading what strangers wrote, as far as it needs no signature."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_adapters.contract import IdentityRefused
from idp_adapters.saml import shape
from idp_adapters.saml.times import instant, written
from tests.idp_adapters.saml.house import Said, encrypted


def reason(call: Any, *arguments: Any) -> str:
    with pytest.raises(IdentityRefused) as raised:
        call(*arguments)
    return raised.value.reason


def test_an_honest_answer_is_read() -> None:
    root = shape.read(Said(request="_x").response().encode())
    assert root.tag == shape.RESPONSE
    assert shape.signature_of(root).digest == "sha256"


def test_an_encrypted_answer_is_read() -> None:
    root = shape.read(encrypted(Said(request="_x").response()).encode())
    assert root.find(shape.ENCRYPTED_ASSERTION) is not None


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("2009/xmlenc11#aes256-gcm", "2001/04/xmlenc#tripledes-cbc"),
        ("2001/04/xmlenc#rsa-oaep-mgf1p", "2001/04/xmlenc#rsa-1_5"),
    ],
)
def test_weak_encryption_is_refused(was: str, becomes: str) -> None:
    xml = encrypted(Said(request="_x").response()).replace(was, becomes)
    assert reason(shape.read, xml.encode()) == "saml_cipher"


def test_ciphertext_or_keys_elsewhere_are_refused() -> None:
    reference = '<xenc:CipherReference URI="http://127.0.0.1:9/x"/>'
    xml = encrypted(Said(request="_x").response()).replace("<xenc:CipherData>", f"<xenc:CipherData>{reference}", 1)
    assert reason(shape.read, xml.encode()) == "saml_outside"
    method = '<ds:KeyInfo><ds:RetrievalMethod URI="file:///etc/passwd"/></ds:KeyInfo></ds:Signature>'
    xml = Said(request="_x").response().replace("</ds:Signature>", method, 1)
    assert reason(shape.read, xml.encode()) == "saml_outside"


@pytest.mark.parametrize("id_", ["-x", "--pwd", "@key", "1x", "a b", "x" * 300, ""])
def test_an_id_that_could_be_anything_but_an_id_is_refused(id_: str) -> None:
    root = shape.read(Said(request="_x", response_id=id_).response().encode())
    assert reason(shape.signature_of, root) == "saml_signature_elsewhere"


def test_a_signature_that_is_not_where_the_schema_has_it_is_refused() -> None:
    xml = Said(request="_x").response()
    start, end = xml.index("<ds:Signature"), xml.index("</ds:Signature>") + len("</ds:Signature>")
    moved = xml[:start] + xml[end:].replace("</samlp:Status>", f"</samlp:Status>{xml[start:end]}", 1)
    assert reason(shape.read, moved.encode()) == "saml_signatures"


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(IdentityRefused):  # and nothing else
        shape.read(raw)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 60), st.binary(max_size=20))
def test_an_answer_with_a_piece_replaced_is_read_or_refused(start: int, length: int, piece: bytes) -> None:
    raw = HONEST[:start] + piece + HONEST[start + length :]
    with suppress(IdentityRefused):  # and nothing else
        shape.signature_of(shape.read(raw))


HONEST = Said(request="_x").response().encode()


@given(st.integers(0, 4_000_000_000))
def test_an_instant_is_read_as_it_was_written(when: int) -> None:
    assert instant(written(when)) == when


@pytest.mark.parametrize(
    "said", ["", "now", "2026-11-22 00:00:00Z", "2026-11-22T00:00:00+01:00", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_instant_in_utc_is_refused(said: str) -> None:
    assert reason(instant, said) == "saml_time"


def test_fractions_of_seconds_are_read() -> None:
    assert instant("1970-01-01T00:00:01.5Z") == 1.5
    assert instant("1970-01-01T00:00:01.123456789Z") == pytest.approx(1.1234567)
