"""T-93: no secret, code or token of a sign-in with a provider gets into a log line, an error or a repr."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from idp_adapters.contract import IdentityProblem
from tests.fakes.network.certificates import make_certificate
from tests.fakes.providers.entra import GRAPH_TOKEN, EntraShaped
from tests.fakes.providers.openid import SECRET, OpenIdProvider, Reply, listening
from tests.idp_adapters.relying import Relying, RelyingOnEntra, changed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["oidc", "entra"])
def relying(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relying]:
    if request.param == "oidc":
        plain = OpenIdProvider()
        with listening(plain):
            yield Relying(plain)
        return
    shaped = EntraShaped()
    ca_file, context = make_certificate(tmp_path, "localhost")
    with listening(shaped, context, "localhost"):
        yield RelyingOnEntra(shaped, "entra", equipped={"ca_file": ca_file})


ANSWERS: dict[str, Any] = {
    "as it should be": None,
    "an error": Reply(400, {"error": "invalid_grant", "error_description": SECRET}),
    "an error with a secret for a name": Reply(400, {"error": SECRET}),
    "a page": Reply(200, f"<html>{SECRET}".encode()),
    "broken": Reply(500, {"message": SECRET}),
    "a token that is none": Reply(200, {"id_token": f"{SECRET}.{SECRET}.{SECRET}", "access_token": SECRET}),
    "a token that is a list": Reply(200, {"id_token": [SECRET], "access_token": SECRET}),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_t_93_signing_in_and_failing_to_say_nothing_secret(relying, case, caplog):
    caplog.set_level(logging.DEBUG)
    said = [repr(relying.adapter), *trace(relying, case), caplog.text]
    spoken = spoken_tokens(relying)
    assert len(spoken) > 1
    leaked = [word for word in (SECRET, GRAPH_TOKEN, "eyJ", *spoken) if word in "".join(said)]
    assert not leaked


def trace(relying: Relying, case: str) -> Iterator[str]:
    """What is said on the way: in, again, out, and all of it with claims that are refused."""
    yield from attempt(relying.sign_in)
    identity = relying.sign_in()
    yield repr(identity)
    relying.provider.twist = changed(aud="other", iss="https://evil.example")
    yield from attempt(relying.sign_in)
    yield from attempt(lambda: relying.adapter.renew(identity.keep))
    if ANSWERS[case] is not None:
        relying.provider.replies[f"{relying.provider.prefix}/token"] = lambda _: ANSWERS[case]
    yield from attempt(relying.sign_in)
    yield from attempt(lambda: relying.adapter.renew(identity.keep))
    yield from attempt(lambda: list(relying.adapter.check()))
    yield from attempt(lambda: relying.adapter.vouch(f"{SECRET}.x.y", "us", "there"))
    departure = relying.depart()
    yield repr((departure, relying.provider.answer(departure)))


def attempt(act: Any) -> Iterator[str]:
    """What it gives, or the whole chain of what it raises, as a log would show it."""
    try:
        yield repr(act())
    except IdentityProblem as problem:
        while problem is not None:
            yield repr(problem) + str(problem)
            problem = None if problem.__suppress_context__ and problem.__cause__ is None else problem.__cause__


def spoken_tokens(relying: Relying) -> list[str]:
    """Codes, verifiers and refresh tokens that were sent, and our proof of who we are."""
    forms = [heard.form for heard in relying.provider.asked("/token")]
    named = ("code", "code_verifier", "refresh_token", "client_secret")
    return [form[name] for form in forms for name in named if len(form.get(name, "")) > 10]
