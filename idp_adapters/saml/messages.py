"""What we say to a SAML provider, in pysaml2's vocabulary: requests to sign in and out, answers, and who we are."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, md, saml, samlp, xmldsig

from idp_adapters.saml import xmlsec
from idp_adapters.saml.idp import MD, SAML2
from idp_adapters.saml.people import PERSISTENT
from idp_adapters.saml.shape import ENVELOPED, EXCLUSIVE, XENC
from idp_adapters.saml.times import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idp_adapters.saml.judging import NameId
    from idp_adapters.saml.keys import SpKey

SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
REQUEST_LIFE = 300.0  # of a logout request
_ENCRYPTION = (
    "http://www.w3.org/2009/xmlenc11#aes256-gcm",
    "http://www.w3.org/2009/xmlenc11#aes128-gcm",
    f"{XENC}rsa-oaep-mgf1p",
)


def new_id() -> str:
    """RFC 4122 would do; SAML core section 1.3.4 wants 128 to 160 random bits, and no digit first."""
    return f"_{secrets.token_hex(20)}"


def authn_request(
    *,
    id_: str,
    us: str,
    destination: str,
    callback: str,
    persistent: bool,
    contexts: Sequence[str],
    now: float,
    again: bool = False,
) -> str:
    """SAML core section 3.4.1. One of `contexts` is asked for, exactly, if there are any; `again` forces a sign-in."""
    policy = samlp.NameIDPolicy(format=PERSISTENT, allow_create="true") if persistent else None
    classes = [saml.AuthnContextClassRef(text=name) for name in contexts]
    wanted = samlp.RequestedAuthnContext(authn_context_class_ref=classes, comparison="exact") if contexts else None
    request = samlp.AuthnRequest(
        id=id_,
        version="2.0",
        issue_instant=written(now),
        destination=destination,
        assertion_consumer_service_url=callback,
        protocol_binding=BINDING_HTTP_POST,
        issuer=saml.Issuer(text=us),
        name_id_policy=policy,
        requested_authn_context=wanted,
        force_authn="true" if again else None,
    )
    return str(request)


def logout_request(*, us: str, destination: str, name_id: NameId, session: str, now: float) -> str:
    """SAML core section 3.7.1."""
    request = samlp.LogoutRequest(
        id=new_id(),
        version="2.0",
        issue_instant=written(now),
        not_on_or_after=written(now + REQUEST_LIFE),
        destination=destination,
        issuer=saml.Issuer(text=us),
        name_id=saml.NameID(
            text=name_id.value,
            format=name_id.format or None,
            name_qualifier=name_id.name_qualifier or None,
            sp_name_qualifier=name_id.sp_name_qualifier or None,
        ),
        session_index=[samlp.SessionIndex(text=session)] if session else [],
    )
    return str(request)


def logout_response(*, us: str, destination: str, request: str, now: float) -> str:
    """SAML core section 3.7.2."""
    response = samlp.LogoutResponse(
        id=new_id(),
        version="2.0",
        issue_instant=written(now),
        destination=destination,
        in_response_to=request,
        issuer=saml.Issuer(text=us),
        status=samlp.Status(status_code=samlp.StatusCode(value=SUCCESS)),
    )
    return str(response)


def metadata(*, us: str, callback: str, logout: str, key: SpKey) -> bytes:
    """Our metadata, signed with our key (SAML metadata section 2.4.4). It names no end: people paste it once."""
    id_ = new_id()
    role = md.SPSSODescriptor(
        protocol_support_enumeration=SAML2,
        authn_requests_signed="true",
        want_assertions_signed="true",
        key_descriptor=[_key(key, "signing"), _key(key, "encryption")],
        single_logout_service=[md.SingleLogoutService(binding=BINDING_HTTP_REDIRECT, location=logout)],
        name_id_format=[md.NameIDFormat(text=PERSISTENT)],
        assertion_consumer_service=[
            md.AssertionConsumerService(binding=BINDING_HTTP_POST, location=callback, index="0", is_default="true")
        ],
    )
    entity = md.EntityDescriptor(id=id_, entity_id=us, signature=_unfilled(id_), spsso_descriptor=[role])
    return xmlsec.sign(str(entity).encode(), f"{{{MD}}}EntityDescriptor", id_, key.pem)


def _key(key: SpKey, use: str) -> md.KeyDescriptor:
    encoded = "".join(key.certificate.public_bytes(Encoding.PEM).decode().splitlines()[1:-1])
    data = xmldsig.X509Data(x509_certificate=xmldsig.X509Certificate(text=encoded))
    methods = [md.EncryptionMethod(algorithm=name) for name in _ENCRYPTION] if use == "encryption" else []
    return md.KeyDescriptor(use=use, key_info=xmldsig.KeyInfo(x509_data=[data]), encryption_method=methods)


def _unfilled(id_: str) -> xmldsig.Signature:
    reference = xmldsig.Reference(
        uri=f"#{id_}",
        transforms=xmldsig.Transforms(
            transform=[xmldsig.Transform(algorithm=ENVELOPED), xmldsig.Transform(algorithm=EXCLUSIVE)]
        ),
        digest_method=xmldsig.DigestMethod(algorithm=f"{XENC}sha256"),
        digest_value=xmldsig.DigestValue(text=""),
    )
    info = xmldsig.SignedInfo(
        canonicalization_method=xmldsig.CanonicalizationMethod(algorithm=EXCLUSIVE),
        signature_method=xmldsig.SignatureMethod(algorithm=xmldsig.SIG_RSA_SHA256),
        reference=[reference],
    )
    return xmldsig.Signature(signed_info=info, signature_value=xmldsig.SignatureValue(text=""))
