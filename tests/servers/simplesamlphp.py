"""SimpleSAMLphp as an identity provider: a directory of its own, PHP's own server, loopback, a free port."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest

from tests.fakes.ports import free_port
from tests.idp_adapters.saml.house import pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WWW = Path("/usr/share/simplesamlphp/www")
PEOPLE = {
    "alice": {"uid": ["alice"], "mail": ["alice@lab.test"], "displayName": ["Alice"], "groups": ["devs", "eng"]},
    "bob": {"uid": ["bob"], "mail": ["bob@lab.test"], "displayName": ["Bob"], "groups": ["ops"]},
}
# how an answer is signed and encrypted, by the name of a service provider
SHAPES: Mapping[str, Mapping[str, bool]] = {
    "plain": {"saml20.sign.response": True, "saml20.sign.assertion": True, "assertion.encryption": False},
    "enc": {"saml20.sign.response": True, "saml20.sign.assertion": True, "assertion.encryption": True},
    "asig": {"saml20.sign.response": False, "saml20.sign.assertion": True, "assertion.encryption": False},
    "rsig": {"saml20.sign.response": True, "saml20.sign.assertion": False, "assertion.encryption": False},
}
_BINDINGS = "urn:oasis:names:tc:SAML:2.0:bindings:"


@dataclass(frozen=True)
class ServiceProvider:
    """One of ours, as that server is told of it. `slug` is one of SHAPES; `certificate` is in base64."""

    slug: str
    base_url: str
    certificate: str

    def described(self) -> tuple[str, dict[str, Any]]:
        place = f"{self.base_url}/signin/{self.slug}"
        return f"{place}/metadata", {
            "AssertionConsumerService": [
                {"Binding": f"{_BINDINGS}HTTP-POST", "Location": f"{place}/callback", "index": 0}
            ],
            "SingleLogoutService": [{"Binding": f"{_BINDINGS}HTTP-Redirect", "Location": f"{place}/logout"}],
            "NameIDFormat": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
            "certData": self.certificate,
            "validate.authnrequest": True,
            "sign.logout": True,
            "validate.logout": True,
            **SHAPES[self.slug],
        }


@dataclass(frozen=True)
class SimpleSamlPhp:
    """A running one. `told` takes the metadata (XML) of a service provider, as its administrator would paste it."""

    url: str
    place: Path

    @property
    def entity_id(self) -> str:
        return f"{self.url}/saml2/idp/metadata.php"

    @property
    def metadata_url(self) -> str:
        return self.entity_id

    def told(self, metadata: bytes) -> None:
        (self.place / "metadata" / "pasted.xml").write_bytes(metadata)


@contextmanager
def simplesamlphp(providers: list[ServiceProvider], host: str = "127.0.0.1") -> Iterator[SimpleSamlPhp]:
    """Fails where it is not installed or does not come up. As `localhost` it is another site than our own."""
    if not WWW.exists() or shutil.which("php") is None:
        pytest.fail("SimpleSAMLphp is not installed (Debian: simplesamlphp php-cli php-xml php-sqlite3)")
    place = Path(tempfile.mkdtemp(prefix="ostiary-ssp-"))
    port = free_port()
    server = SimpleSamlPhp(f"http://{host}:{port}", place)
    _configure(server, providers)
    with (place / "php.log").open("wb") as log:
        process = subprocess.Popen(
            ["php", "-d", "error_reporting=0", "-S", f"127.0.0.1:{port}"],
            cwd=WWW,
            env=_environment(place),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        shutil.rmtree(place, ignore_errors=True)


class Browser:
    """Somebody who types a name and a password there, and posts every form that they are shown."""

    def __init__(self) -> None:
        self.client = httpx2.Client(follow_redirects=False, timeout=20, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def until(self, url: str, ours: str, person: str = "alice") -> tuple[str, dict[str, str]]:
        """From `url` on, until something leads to `ours`: the address, and what is posted there."""
        answer = self.client.get(url)
        for _ in range(12):
            if answer.is_redirect:
                there = urljoin(str(answer.url), answer.headers["location"])
                if there.startswith(ours):
                    return there, {}
                answer = self.client.get(there)
                continue
            action, fields = _form(answer.text, str(answer.url))
            if action.startswith(ours):
                return action, fields
            if "password" in fields:
                fields |= {"username": person, "password": f"{person}pass"}
            answer = self.client.post(action, data=fields)
        raise AssertionError(f"nothing led to {ours}: {answer.status_code} {answer.text[:500]}")

    def sign_out(self, url: str) -> str:
        """The button on our own page: the address that it leads on to."""
        page = self.client.get(f"{url}/").text
        sealed = re.search(r'action="/signout".*?</form>', page, re.DOTALL)
        assert sealed, page[:2000]
        _, fields = _form(f'<form action="/signout">{sealed.group()}', url)
        answer = self.client.post(f"{url}/signout", data=fields, headers={"origin": url})
        onward = re.search(r'content="0;url=([^"]+)"', answer.text)
        assert onward, answer.text[:2000]
        return html.unescape(onward.group(1))


def _form(text: str, url: str) -> tuple[str, dict[str, str]]:
    action = re.search(r'<form[^>]*action="([^"]*)"', text)
    fields = {}
    for tag in re.findall(r"<input[^>]*>", text):
        named = dict(re.findall(r'(name|value)="([^"]*)"', tag))
        if "name" in named:
            fields[html.unescape(named["name"])] = html.unescape(named.get("value", ""))
    if action is None:
        pytest.fail(f"no form at {url}: {text[:800]}")
    return urljoin(url, html.unescape(action.group(1))), fields


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def _configure(server: SimpleSamlPhp, providers: list[ServiceProvider]) -> None:
    place = server.place
    for name in ("config", "cert", "log", "data", "tmp", "metadata"):
        (place / name).mkdir()
    (place / "cert" / "idp.key").write_bytes(pair("ssp").key_pem)
    (place / "cert" / "idp.crt").write_bytes(pair("ssp").certificate_pem)
    (place / "metadata" / "pasted.xml").write_text('<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"/>')
    people = {f"{name}:{name}pass": attributes for name, attributes in PEOPLE.items()}
    sources = {"admin": ["core:AdminPassword"], "example-userpass": {"0": "exampleauth:UserPass", **people}}
    hosted = {
        server.entity_id: {
            "host": "__DEFAULT__",
            "privatekey": "idp.key",
            "certificate": "idp.crt",
            "auth": "example-userpass",
            "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "validate.authnrequest": True,
            "simplesaml.nameidattribute": "uid",
            "sign.logout": True,
            "validate.logout": True,
        }
    }
    trusted = sorted({urlsplit(one.base_url).netloc for one in providers})
    _php(place / "config" / "config.php", "config", _config(server) | {"trusted.url.domains": trusted})
    _php(place / "config" / "authsources.php", "config", sources)
    _php(place / "metadata" / "saml20-idp-hosted.php", "metadata", hosted)
    _php(place / "metadata" / "saml20-sp-remote.php", "metadata", dict(one.described() for one in providers))


def _config(server: SimpleSamlPhp) -> dict[str, Any]:
    place = server.place
    return {
        "baseurlpath": f"{server.url}/",
        "certdir": f"{place}/cert/",
        "loggingdir": f"{place}/log/",
        "datadir": f"{place}/data/",
        "tempdir": f"{place}/tmp",
        "metadatadir": f"{place}/metadata",
        "technicalcontact_email": "na@example.org",
        "secretsalt": "lab",
        "auth.adminpassword": "lab",
        "timezone": "UTC",
        "logging.level": 7,
        "logging.handler": "file",
        "logging.logfile": "ssp.log",
        "enable.saml20-idp": True,
        "module.enable": {"exampleauth": True, "core": True, "saml": True},
        "session.cookie.secure": False,
        "session.duration": 28800,
        "session.datastore.timeout": 14400,
        "session.state.timeout": 3600,
        "store.type": "sql",
        "store.sql.dsn": f"sqlite:{place}/data/s.sq3",
        "store.sql.prefix": "ssp",
        "language.default": "en",
        "language.available": ["en"],
        "metadata.sources": [{"type": "flatfile"}, {"type": "xml", "file": f"{place}/metadata/pasted.xml"}],
        "theme.use": "default",
        "usenewui": False,
        "authproc.idp": [],
        "authproc.sp": [],
    }


def _php(file: Path, variable: str, value: Any) -> None:
    file.with_suffix(".json").write_text(json.dumps(value))
    file.write_text(f"<?php ${variable} = json_decode(file_get_contents(__DIR__.'/{file.stem}.json'), true);\n")


def _environment(place: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "SIMPLESAMLPHP_CONFIG_DIR": str(place / "config"), "TMPDIR": str(place / "tmp")}


def _wait_until_ready(server: SimpleSamlPhp, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    said = "nothing"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = httpx2.get(server.metadata_url, timeout=10, trust_env=False)
        except httpx2.HTTPError as error:
            said = type(error).__name__
        else:
            if answer.status_code == 200:
                return
            said = answer.text[:2000]
        time.sleep(0.1)
    pytest.fail(f"SimpleSAMLphp did not start: {said}\n{(server.place / 'php.log').read_text()[-2000:]}")
