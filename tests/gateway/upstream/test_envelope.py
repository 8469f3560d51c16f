import json

from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import decode_header_value

from gateway.upstream import Ask
from gateway.upstream.envelope import header_value, legacy_body, modern_body, modern_lines, reply_to

META = "io.modelcontextprotocol/"


@given(st.text())
def test_a_name_in_a_header_is_read_back_as_it_was(text: str):
    text = text.encode("utf-8", "ignore").decode()
    value = header_value(text)
    assert not {13, 10, 0} & set(value)
    assert decode_header_value(value.decode("ascii")) == text


def test_a_name_that_looks_encoded_is_encoded():
    assert header_value("=?base64?YQ==?=") != b"=?base64?YQ==?="
    assert header_value("add") == b"add"


VALUES = st.integers() | st.text(max_size=10) | st.lists(st.text(max_size=3) | st.none(), max_size=3)
NAMES = st.text(max_size=8).filter(lambda name: name != "_meta")


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_parameters_are_spliced_as_the_bytes_they_were(params: dict):
    raw = {name: json.dumps(value, indent=1).encode() for name, value in params.items()}
    body = modern_body(Ask(method="tools/call", params=raw, principal=None), 7)
    said = json.loads(body)
    assert said["id"] == 7
    assert said["params"].pop("_meta")[META + "protocolVersion"] == "2026-07-28"
    assert said["params"] == params
    assert all(value in body for value in raw.values())


def test_the_envelope_says_what_was_asked_for_and_no_more():
    quiet = json.loads(modern_body(Ask(method="tools/list", principal=None), 1))["params"]["_meta"]
    assert set(quiet) == {META + "protocolVersion", META + "clientCapabilities", META + "clientInfo"}
    ask = Ask(
        method="tools/call",
        meta={"traceparent": b'"00-1"', "vendor/x": b"[1]"},
        capabilities=b'{"elicitation":{}}',
        client_info=b'{"name":"c","version":"2"}',
        progress=True,
        log_level="info",
        principal=None,
    )
    meta = json.loads(modern_body(ask, 9))["params"]["_meta"]
    assert meta["progressToken"] == 9
    assert meta[META + "logLevel"] == "info"
    assert meta[META + "clientCapabilities"] == {"elicitation": {}}
    assert (meta["traceparent"], meta["vendor/x"]) == ("00-1", [1])


def test_a_legacy_request_carries_nothing_that_only_modern_ones_know():
    ask = Ask(
        method="tools/call", params={"name": b'"a"', "requestState": b'"s"', "inputResponses": b"{}"}, principal=None
    )
    assert json.loads(legacy_body(ask, 3)) == {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "a"},
    }


def test_header_lines_mirror_what_is_sent():
    ask = Ask(method="resources/read", name="note://ä", param_headers=((b"Mcp-Param-Region", b"eu"),), principal=None)
    assert modern_lines(ask) == (
        b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: resources/read\r\n"
        b"Mcp-Name: =?base64?bm90ZTovL8Ok?=\r\nMcp-Param-Region: eu\r\n"
    )


def test_an_id_of_a_server_goes_back_as_it_was():
    assert reply_to(b'"1"', result=b"{}") == b'{"jsonrpc":"2.0","id":"1","result":{}}'
    assert reply_to(b"1", error=b'{"code":1,"message":""}').endswith(b'"id":1,"error":{"code":1,"message":""}}')
