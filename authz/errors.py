"""The errors of this package.

AuthzError
├── TokenRefused         a token is not one of ours, not for here, or no longer good
├── ScopeRefused         a scope is not one of ours, or there are too many
├── NoSigningKey         there is nothing to sign with
├── PolicyBroken         rules cannot be loaded; the old policy stays, at start we do not start
├── RuleRefused          a rule is not well formed
├── AccountRefused       a change of a person, group or client is not possible
├── SignInRefused        wrong credentials, locked for a while, disabled: one text for all
├── ReturnRefused        a browser comes back from a provider with what is not its own, or too late
├── ProofRefused         a DPoP proof is missing, or proves something else
├── AssertionRefused     what somebody else signed is not for us, not of now, or not of somebody we trust
├── IssuerRefused        a trusted issuer or a rule about workloads is not well formed
├── SignInBusy           too many passwords to check at once; nothing was checked
├── DelegationRefused    a delegation cannot be given like this
├── DelegationOver       a delegation leads to no token any more
└── LinkSpent            a one-time link was used already, or is too old
"""

from __future__ import annotations


class AuthzError(Exception):
    """The root. Its text is fit to be shown to whoever asked; private detail goes to the record, not here."""


class TokenRefused(AuthzError):
    """`reason` is a machine word for the record; the caller only ever learns `invalid_token`."""

    def __init__(self, reason: str) -> None:
        super().__init__("the access token is not valid here")
        self.reason = reason


class ScopeRefused(AuthzError):
    pass


class NoSigningKey(AuthzError):
    pass


class PolicyBroken(AuthzError):
    pass


class RuleRefused(AuthzError):
    pass


class AccountRefused(AuthzError):
    pass


class DelegationRefused(AuthzError):
    pass


class DelegationOver(AuthzError):
    pass


class SignInRefused(AuthzError):
    """`reason` is a machine word for the record; `retry_after` is set while too many attempts failed."""

    def __init__(self, reason: str, retry_after: int = 0) -> None:
        told = "That name and password do not go together."
        if retry_after:
            told = f"Too many sign-ins failed here. Wait {_spoken(retry_after)}, then try again."
        super().__init__(told)
        self.reason = reason
        self.retry_after = retry_after


class ProofRefused(AuthzError):
    """`reason` is a machine word for the record; the caller learns `invalid_dpop_proof` (RFC 9449 section 7.1)."""

    def __init__(self, reason: str) -> None:
        super().__init__("the DPoP proof does not prove that this request is yours")
        self.reason = reason


class AssertionRefused(AuthzError):
    """`reason` is a machine word for the record; the caller only ever learns `invalid_grant` or `invalid_client`."""

    def __init__(self, reason: str) -> None:
        super().__init__("the assertion is not valid here")
        self.reason = reason


class IssuerRefused(AuthzError):
    pass


class ReturnRefused(AuthzError):
    """`reason` is a machine word for the record; the person only learns to begin anew."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "This sign-in was not begun in this browser, is finished already, or took longer than ten minutes."
        )
        self.reason = reason


class SignInBusy(AuthzError):
    pass


class LinkSpent(AuthzError):
    pass


def _spoken(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{-(-seconds // 60)} minutes"
