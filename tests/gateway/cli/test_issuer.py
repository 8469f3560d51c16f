"""`ostiary issuer`, and clients that sign, as an operator types them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.providers.issuers import Signer
from tests.gateway.cli.test_people import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLUSTER = "https://cluster.example"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "data")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(Signer().jwks))
    return file


@pytest.fixture
def cluster() -> Iterator[str]:
    """Something that describes itself as an issuer, on loopback; gives its address."""

    class Described(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"issuer": where, "jwks_uri": f"{where}/keys"}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Described)
    where = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield where
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_workload_issuer_is_added_with_its_keys_and_a_rule(console: Console, keys: Path) -> None:
    console.do("client", "add", "nightly", "--agent")
    console.do("issuer", "add", CLUSTER, "--kind", "workload", "--keys", str(keys))
    rule = console.json("issuer", "allow", CLUSTER, "agent:nightly", "--claim", "sub=jobs", "--claim", "ns=a=b")["rule"]

    [listed] = console.json("issuer", "list")
    assert [entry["claims"] for entry in listed["rules"]] == [{"sub": "jobs", "ns": "a=b"}]
    assert f"{rule}: sub=jobs and ns=a=b" in console.do("issuer", "list")
    console.do("issuer", "disallow", rule)
    assert console.json("issuer", "list")[0]["rules"] == []
    noted = {event["event"] for event in console.events() if event["event"].startswith("issuer")}
    assert noted == {"issuer.added", "issuer.rule.added", "issuer.rule.removed"}


def test_without_keys_they_are_discovered(console: Console, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTIARY_ALLOW_ADDRESSES", cluster)

    added = console.json("issuer", "add", cluster, "--kind", "workload")

    assert added["keys_url"] == f"{cluster}/keys"


def test_an_issuer_spelled_otherwise_than_it_says_is_refused(
    console: Console, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_ALLOW_ADDRESSES", cluster)

    assert (
        "does not describe this very issuer" in console.run("issuer", "add", f"{cluster}/", "--kind", "workload").output
    )


def test_keys_that_are_nested_without_end_are_refused_in_a_sentence(console: Console, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    refused = console.run("issuer", "add", CLUSTER, "--kind", "workload", "--keys", str(tmp_path / "deep.json"))

    assert (refused.exit_code, "is not JSON" in refused.output) == (1, True)


def test_an_issuer_at_a_private_address_is_not_asked(console: Console, cluster: str) -> None:
    refused = console.run("issuer", "add", cluster, "--kind", "workload")

    assert refused.exit_code == 1
    assert "--keys FILE or --keys-url" in refused.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add", CLUSTER, "--kind", "identity", "--keys", "KEYS"], "belongs to an identity provider"),
        (["add", CLUSTER, "--kind", "workload", "--keys", "KEYS", "--provider", "corp"], "there is no provider"),
        (["add", CLUSTER, "--kind", "workload", "--keys", "KEYS", "--keys-url", "https://x.example"], "not both"),
        (["allow", CLUSTER, "nightly", "--claim", "sub=x"], "no agent is called"),
        (["allow", CLUSTER, "nightly", "--claim", "sub"], "write NAME=VALUE"),
        (["disallow", "wlr_none"], "there is no rule"),
        (["remove", CLUSTER, "--kind", "workload"], "is not trusted as workload"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_words(console: Console, keys: Path, words: list[str], told: str) -> None:
    said = console.run("issuer", *(str(keys) if word == "KEYS" else word for word in words))

    assert said.exit_code != 0
    assert told in said.output


def test_a_private_key_is_not_taken_for_a_public_one(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "private.json"
    file.write_text(json.dumps({"keys": [Signer().key.as_dict(private=True)]}))

    refused = console.run("client", "add", "nightly", "--agent", "--keys", str(file))

    assert "holds a private key" in refused.output
    assert "nightly" not in console.do("client", "list")


def test_an_agent_that_signs_is_given_no_secret(console: Console, keys: Path) -> None:
    added = console.json("client", "add", "nightly", "--agent", "--keys", str(keys))

    assert "secret" not in added
    assert "has no secret" in console.run("client", "secret", "agent:nightly").output


def test_a_client_for_devices_needs_no_redirect_uri(console: Console) -> None:
    assert console.json("client", "add", "Television", "--device")["client_id"].startswith("cli_")
