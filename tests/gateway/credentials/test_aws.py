"""AWS Signature Version 4: AWS's own published signatures, and a service that checks what reaches it."""

from __future__ import annotations

import calendar
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.assembly import open_office
from gateway.credentials import Asked, CredentialTampered
from gateway.credentials.aws import Aws, Signer
from gateway.credentials.equipment import Equipment
from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.settings import Settings
from gateway.upstream import Ask, UpstreamError
from gateway.upstream.connections import Servers
from registry.catalogue import Credential
from registry.catalogue.assembling import upstream_of
from registry.credentials.modes import read_auth
from registry.database import Concern
from registry.errors import RegistryError
from registry.secrets.vault import Vault
from registry.servers import Proposal, find, propose
from registry.tables import Auth, Transport
from tests.fakes.servers.api import operation, tool
from tests.fakes.servers.aws import is_signed
from tests.fakes.servers.raw import Asked as Arrived
from tests.fakes.servers.raw import http, principal, raw_server, result

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUu"
    "wthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcH"
    "NVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxB"
    "A=="
)
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORM = "application/x-www-form-urlencoded"


def at(moment: str) -> float:
    return calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))


def signed(head: str, body: bytes = b"", **changes: Any) -> dict[str, str]:
    facts = {"region": "us-east-1", "service": "service", "access_key": "AKIDEXAMPLE", "secret": SECRET}
    signer = Signer(**(facts | {"clock": lambda: at("20150830T123600Z")} | changes))
    lines = signer(head.encode("ascii"), body).decode("ascii").split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize(
    ("request_line", "signature"),
    [  # the test suite that AWS publishes for Signature Version 4
        ("GET /", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST /", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (f"GET /{UNRESERVED}", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("GET /?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        ("POST /?Param1=value1", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        (
            "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        ("GET /?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("GET /?Param1=value2&Param1=Value1", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
        ("GET /?Param1=value2&Param1=value1", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
        (f"GET /?{UNRESERVED}={UNRESERVED}", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        ("GET /example1/example2/../..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET /example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET /./", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET /./example", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("GET //", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET //example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("GET /example/$delete", "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27"),
    ],
)
def test_a_request_is_signed_as_aws_publishes_it(request_line: str, signature: str) -> None:
    lines = signed(f"{request_line} HTTP/1.1\r\nHost:example.amazonaws.com\r\nUser-Agent: ostiary\r\n")
    assert lines == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


@pytest.mark.parametrize(
    ("kind", "signature"),
    [
        (FORM, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        (f"{FORM}; charset=utf8", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
    ],
)
def test_content_is_signed_with_its_kind(kind: str, signature: str) -> None:
    head = f"POST / HTTP/1.1\r\nContent-Type:{kind}\r\nHost:example.amazonaws.com\r\nContent-Length: 13\r\n"
    assert signed(head, b"Param1=value1")["Authorization"].endswith(
        f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )


def test_a_session_token_goes_along_and_is_signed() -> None:
    lines = signed("POST / HTTP/1.1\r\nHost:example.amazonaws.com\r\n", session=TOKEN)
    assert lines["X-Amz-Security-Token"] == TOKEN
    assert lines["Authorization"].endswith("85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead")


@pytest.mark.parametrize(
    ("target", "signature"),
    [  # the examples of the documentation of S3
        ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_s3_is_told_the_digest_of_the_content(target: str, signature: str) -> None:
    lines = signed(
        f"GET {target} HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n",
        service="s3", access_key="AKIAIOSFODNN7EXAMPLE", secret=S3_SECRET, clock=lambda: at("20130524T000000Z"),
    )  # fmt: skip
    assert lines["X-Amz-Content-Sha256"] == hashlib.sha256(b"").hexdigest()
    assert lines["Authorization"].endswith(signature)


def test_the_key_is_in_no_text() -> None:
    signer = Signer(region="r", service="s", access_key="a", secret=SECRET, session=TOKEN)
    credential = Credential(server="s", origin="o", header=b"authorization", value=b"", sign=signer)
    assert SECRET not in repr(signer) + repr(credential)
    assert TOKEN not in repr(signer) + repr(credential)


async def test_a_service_finds_each_request_signed_that_a_call_becomes(caller: Any) -> None:
    async def respond(asked: Arrived, writer: asyncio.StreamWriter) -> bytes:
        return http(b"{}" if is_signed(asked, "eu-central-1", "execute-api", SECRET) else b"[]")

    place = {"name": "item", "in": "path", "required": True}
    search = {"name": "q", "in": "query"}
    taken = {"content": {"application/json": {"schema": {"type": "object"}}}}
    description = operation("/items/{item}", place, search, method="post", requestBody=taken)
    signer = Signer(region="eu-central-1", service="execute-api", access_key="AKIDEXAMPLE", secret=SECRET)
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 5, 2**20), 2**24)
    async with raw_server(respond) as server:
        credential = Credential(
            server="todo", origin=f"http://127.0.0.1:{server.port}", header=b"authorization", value=b"", sign=signer
        )
        upstream = server.upstream(slug="todo", transport=Transport.OPENAPI, target="/v1", auth=Auth.AWS)
        for arguments in ({"item": "a b/c"[:3], "q": "é=&x", "body": {"x": "ü"}}, {"item": "$1:2@3,4"}):
            params = {"arguments": json.dumps(arguments).encode()}
            ask = Ask(method="tools/call", params=params, principal=principal("ann"), entry=tool(description, "op"))
            answer = await servers.send(upstream, ask, caller, credential)
            assert json.loads(answer.result)["structuredContent"] == {}
            assert server.asked[-1].head.count(b"uthorization:") == 1
    await servers.close()


async def test_a_server_of_mcp_behind_aws_finds_its_messages_signed(caller: Any) -> None:
    async def respond(asked: Arrived, writer: asyncio.StreamWriter) -> bytes:
        assert is_signed(asked, "eu-central-1", "bedrock-agentcore", SECRET)
        assert "content-type;host;x-amz-date" in asked.headers["authorization"]
        return http(result(asked))

    signer = Signer(region="eu-central-1", service="bedrock-agentcore", access_key="AKIDEXAMPLE", secret=SECRET)
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 5, 2**20), 2**24)
    async with raw_server(respond) as server:
        origin = f"http://127.0.0.1:{server.port}"
        credential = Credential(server="raw", origin=origin, header=b"authorization", value=b"", sign=signer)
        ask = Ask(method="tools/call", name="t", principal=principal("ann"))
        answer = await servers.send(server.upstream(auth=Auth.AWS), ask, caller, credential)
        assert b"content" in answer.result
    await servers.close()


async def test_a_signature_goes_to_no_other_origin_than_the_registered_one(caller: Any) -> None:
    async def respond(asked: Arrived, writer: asyncio.StreamWriter) -> bytes:
        raise AssertionError("nothing arrives")

    signer = Signer(region="r", service="s", access_key="AKIDEXAMPLE", secret=SECRET)
    servers = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 5, 2**20), 2**24)
    async with raw_server(respond) as server:
        elsewhere = "https://other.example:443"
        credential = Credential(server="raw", origin=elsewhere, header=b"authorization", value=b"", sign=signer)
        with pytest.raises(UpstreamError):
            await servers.send(
                server.upstream(auth=Auth.AWS), Ask(method="tools/call", principal=None), caller, credential
            )
        assert server.asked == []
    await servers.close()


@pytest.fixture
def caller() -> Any:
    return None


def test_the_source_opens_the_key_and_its_session_token(tmp_path: Path) -> None:
    office = open_office(Settings(data=tmp_path), create=True)
    settings = {"region": "eu-central-1", "service": "execute-api", "access_key": "AKIDEXAMPLE"}
    proposal = Proposal(
        slug="aws", url="https://x.execute-api.eu-central-1.amazonaws.com/v1", auth=Auth.AWS, auth_settings=settings,
        secrets={"aws_secret": f"{SECRET}\n{TOKEN}\n".encode()},
    )  # fmt: skip
    with office.database.change(Concern.CATALOGUE) as session:
        propose(session, proposal, who="operator:root", exceptions=(), vault=office.vault)
        upstream = upstream_of(find(session, "aws"), ())
    held = Aws(Equipment(office)).obtain(Asked(upstream=upstream, principal=principal("ann")))
    assert held.credential.subject == ""
    assert held.credential.sign is not None
    lines = held.credential.sign(b"GET / HTTP/1.1\r\nHost: x\r\n", b"")
    assert f"X-Amz-Security-Token: {TOKEN}".encode() in lines
    with office.database.change(Concern.CATALOGUE) as session:
        office.vault.forget(session, "server:aws")
    with pytest.raises(CredentialTampered):
        Aws(Equipment(office)).obtain(Asked(upstream=upstream, principal=None))
    office.close()


@pytest.mark.parametrize("name", ["region", "service", "access_key"])
@pytest.mark.parametrize("value", ["", "a b", "a/b", "a\r\nX: y", "a\n", "é"])
def test_what_would_break_the_line_of_a_signature_is_no_setting(name: str, value: str) -> None:
    settings = {"region": "eu-central-1", "service": "s3", "access_key": "AKIDEXAMPLE", name: value}
    with pytest.raises(RegistryError, match=name.replace("_", "-")):
        read_auth(Auth.AWS, settings)


def test_a_server_without_its_key_is_not_registered(tmp_path: Path) -> None:
    office = open_office(Settings(data=tmp_path), create=True)
    settings = {"region": "eu-central-1", "service": "execute-api", "access_key": "AKIDEXAMPLE"}
    proposal = Proposal(slug="aws", url="https://x.example/v1", auth=Auth.AWS, auth_settings=settings)
    with pytest.raises(RegistryError), office.database.change(Concern.CATALOGUE) as session:
        propose(session, proposal, who="operator:root", exceptions=(), vault=office.vault)
    office.close()
