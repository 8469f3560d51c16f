"""The errors of this package.

AuthzError
├── TokenRefused         a token is not one of ours, not for here, or no longer good
├── PolicyBroken         rules cannot be loaded; the old policy stays, at start we do not start
├── RuleRefused          a rule is not well formed
├── AccountRefused       a change of a person, group or client is not possible
└── SignInRefused        wrong credentials, locked for a while, disabled: one text for all
"""

from __future__ import annotations


class AuthzError(Exception):
    """The root. Its text is fit to be shown to whoever asked; private detail goes to the record, not here."""


class TokenRefused(AuthzError):
    """`reason` is a machine word for the record; the caller only ever learns `invalid_token`."""

    def __init__(self, reason: str) -> None:
        super().__init__("the access token is not valid here")
        self.reason = reason


class PolicyBroken(AuthzError):
    pass


class RuleRefused(AuthzError):
    pass


class AccountRefused(AuthzError):
    pass


class SignInRefused(AuthzError):
    pass
