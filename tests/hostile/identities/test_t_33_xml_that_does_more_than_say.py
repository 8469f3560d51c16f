"""Document types, entities, inclusions, comments, sizes; and an xmlsec1 that is missing or hangs."""

from __future__ import annotations

import os
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from idp_adapters.contract import Arrival, IdentityRefused, ProviderDown
from idp_adapters.saml import redirect, shape, xmlsec
from tests.idp_adapters.saml.house import House, Said, posted, redirected

if TYPE_CHECKING:
    from pathlib import Path

DEPTH = 20_000
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
HEAD = '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def reason(xml: str | bytes) -> str:
    with pytest.raises(IdentityRefused) as raised:
        shape.read(xml.encode() if isinstance(xml, str) else xml)
    return raised.value.reason


@pytest.mark.parametrize(
    "document",
    [
        f"<!DOCTYPE r>{HEAD}/>",
        f"<!DOCTYPE r [{LAUGHS}]>{HEAD}>&l9;</samlp:Response>",
        f'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>{HEAD}>&x;</samlp:Response>',
        f'<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]>{HEAD}/>',
        f'<!DOCTYPE r [<!ATTLIST Assertion ID ID "_default">]>{HEAD}/>',
    ],
    ids=["empty", "laughs", "file", "address", "default attribute"],
)
def test_t_33_a_document_type_is_refused(document: str) -> None:
    assert reason(document) == "saml_doctype"


def test_t_33_an_external_entity_is_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        for declared in (f'<!ENTITY x SYSTEM "{address}">', f'<!ENTITY % x SYSTEM "{address}"> %x;'):
            assert reason(f"<!DOCTYPE r [{declared}]>{HEAD}>&x;</samlp:Response>") == "saml_doctype"
        assert reason(f'<!DOCTYPE r SYSTEM "{address}">{HEAD}/>') == "saml_doctype"
        with pytest.raises(TimeoutError):
            listener.accept()


def test_t_33_an_inclusion_is_refused() -> None:
    included = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    assert reason(f"{HEAD}>{included}</samlp:Response>") == "saml_xinclude"


@pytest.mark.parametrize("size", [shape.LARGEST + 1, 10 * 1024 * 1024])
def test_t_33_what_is_too_large_is_not_even_parsed(size: int) -> None:
    assert reason(b"<" + b"x" * (size - 1)) == "saml_too_large"


def test_t_33_what_is_too_large_is_not_even_decoded(house: House) -> None:
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.arrive(posted(b"<" * (10 * 1024 * 1024)), {"request": "_x"})
    assert raised.value.reason == "saml_too_large"


@pytest.mark.parametrize(
    "document", ["<a>" * DEPTH + "</a>" * DEPTH, f"<a>{'<b/>' * DEPTH}</a>"], ids=["deep", "broad"]
)
def test_t_33_many_elements_are_refused(document: str) -> None:
    assert reason(document) == "saml_too_deep"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-7", "iso-8859-1"])
def test_t_33_another_encoding_is_refused(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?>{HEAD}/>'
    assert reason(document.encode(encoding)) in {"saml_encoding", "saml_not_xml"}


def test_t_33_what_swells_when_it_is_inflated_is_refused() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    swollen = deflate.compress(b"\0" * (64 * 1024 * 1024)) + deflate.flush()
    assert len(swollen) < shape.LARGEST
    with pytest.raises(IdentityRefused) as raised:
        redirect._inflated(swollen)
    assert raised.value.reason == "saml_too_large"


@pytest.mark.servers
@pytest.mark.parametrize("when", ["before signing", "after signing"])
def test_t_33_a_comment_does_not_cut_a_name_short(house: House, when: str) -> None:
    """Signatures leave comments out, so that anybody may put one in; readers stopped at it once (2018)."""

    def commented(xml: str) -> str:
        return xml.replace("alice-for-good<", "alice-<!-- x -->for-good<")

    early = when == "before signing"
    said = Said(edit=commented) if early else Said()
    found = house.arrive(said, (lambda xml: xml) if early else commented)
    assert found.subject == "alice-for-good"


@pytest.mark.servers
def test_t_33_an_instruction_in_a_name_is_part_of_what_is_signed(house: House) -> None:
    with pytest.raises(IdentityRefused) as raised:
        house.arrive(Said(), lambda xml: xml.replace("alice-for-good<", "alice-<?x y?>for-good<"))
    assert raised.value.reason == "saml_signature"


def program(place: Path, script: str) -> str:
    """A directory for the path, with an `xmlsec1` in it that does this."""
    file = place / "bin" / "xmlsec1"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file.parent)


@pytest.mark.servers
def test_t_33_without_the_program_nobody_is_signed_in(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departure = house.depart()
    arrival = house.answer(departure)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderDown, match="apt install xmlsec1"):
        house.adapter.arrive(arrival, departure.kept)
    [finding] = house.adapter.check()
    assert not finding.ok
    assert "apt install xmlsec1" in finding.words


def test_t_33_the_program_has_five_seconds() -> None:
    assert xmlsec.DEADLINE == 5


@pytest.mark.servers
def test_t_33_a_program_that_hangs_is_ended_and_nobody_is_signed_in(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departure = house.depart()
    arrival = house.answer(departure)
    monkeypatch.setattr(xmlsec, "DEADLINE", 2.0)
    monkeypatch.setenv(
        "PATH", program(tmp_path, f'echo $$ >> {tmp_path}/pids; [ "$1" = --version ] || exec /bin/sleep 60')
    )
    with pytest.raises(ProviderDown) as raised:
        house.adapter.arrive(arrival, departure.kept)
    assert raised.value.reason == "saml_xmlsec_hung"
    for pid in (tmp_path / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.servers
@pytest.mark.parametrize("script", ["exit 0", "echo OK; exit 0", 'echo "== PreDigest data - start buffer:"; exit 0'])
def test_t_33_a_program_that_only_says_yes_is_not_believed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    departure = house.depart()
    arrival = house.answer(departure)
    monkeypatch.setenv("PATH", program(tmp_path, script))
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.arrive(arrival, departure.kept)
    assert raised.value.reason == "saml_digest"


@pytest.mark.servers
def test_t_33_only_a_few_run_at_once_however_many_come(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xmlsec, "DEADLINE", 60.0)  # a busy machine is not what is tried here
    document = Said(request="_x").signed().encode()
    signed = shape.signature_of(shape.read(document))
    script = (
        f"/bin/touch {tmp_path}/run.$$; /bin/sleep 0.1; /bin/ls {tmp_path} | /bin/grep -c run. >> {tmp_path}/counts"
    )
    monkeypatch.setenv("PATH", program(tmp_path, f"{script}; /bin/rm {tmp_path}/run.$$; exit 1"))
    xmlsec.version(xmlsec.located())  # so that this one is not among them

    def verify(_: int) -> None:
        with pytest.raises(IdentityRefused):
            xmlsec.verify(document, signed, [b""])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(verify, range(12)))
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) >= 12
    assert max(counts) <= xmlsec.AT_ONCE


@pytest.mark.parametrize("value", ["", "%%%", "PHg+", "//8=", "PHg"])
def test_t_33_what_is_no_message_is_refused(house: House, value: str) -> None:
    arrival = Arrival(method="POST", url="", parameters={"SAMLResponse": value})
    with pytest.raises(IdentityRefused):
        house.adapter.arrive(arrival, {"request": "_x"})


def test_t_33_a_logout_request_with_a_document_type_is_refused(house: House) -> None:
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.hear(redirected("SAMLRequest", f"<!DOCTYPE r>{HEAD}/>"))
    assert raised.value.reason == "saml_doctype"
