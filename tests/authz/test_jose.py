"""Keys that others bring: which ones are tried, and at what cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc.jwk import RSAKey

from authz import jose
from idp_adapters.contract import IdentityRefused
from tests.fakes.tokens import b64


def key(size: int = 2048, exponent: int = 65537) -> RSAKey:
    return RSAKey.import_key(rsa.generate_private_key(exponent, size))


def signed(header: dict[str, Any], owner: RSAKey) -> str:
    start = b64(json.dumps(header).encode()) + b"." + b64(b'{"a":1}')
    private: Any = owner.raw_value
    return (start + b"." + b64(private.sign(start, padding.PKCS1v15(), hashes.SHA256()))).decode()


@pytest.mark.parametrize("size", [2048, 3072])
def test_a_proof_may_be_made_with_any_kind_of_key_that_we_publish(size: int) -> None:
    owner = key(size)
    proof = signed({"typ": "dpop+jwt", "alg": "RS256", "jwk": owner.as_dict(private=False)}, owner)

    assert jose.verify_own_key(proof, "dpop+jwt") == ({"a": 1}, owner.thumbprint())


@pytest.mark.parametrize("changed", [{"e": "n"}, {"n": "A" * 3000}], ids=["a huge exponent", "a huge modulus"])
def test_t_12_a_key_that_takes_long_to_try_is_not_tried(changed: dict[str, str], monkeypatch: Any) -> None:
    owner = key()
    public = {name: str(value) for name, value in owner.as_dict(private=False).items()}
    slow = public | {name: public.get(value, value) for name, value in changed.items()}
    slow |= {"e": slow["e"][:-4]} if slow["e"] != public["e"] else {}
    tried: list[object] = []
    monkeypatch.setattr("authz.jose.jws.deserialize_compact", lambda *args, **_: tried.append(args))

    with pytest.raises(IdentityRefused):
        jose.verify_foreign(signed({"alg": "RS256"}, owner), [slow], jose.FOREIGN_ALGORITHMS)
    with pytest.raises(jose.BadSignature, match="key"):
        jose.verify_own_key(signed({"typ": "dpop+jwt", "alg": "RS256", "jwk": slow}, owner), "dpop+jwt")

    assert tried == []
