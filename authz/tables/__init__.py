"""The tables of people, policy, clients, tokens, providers and signing in. They are imported from here."""

from authz.tables.clients import Client, Consent, TrustedIssuer, WorkloadRule
from authz.tables.people import Group, Membership, Person
from authz.tables.policy import RoleBinding, Rule
from authz.tables.providers import ClaimMapping, Provider, ScimResource, ScimToken
from authz.tables.signin import (
    BrowserSession,
    FailedSignIns,
    ForeignSession,
    OneTimeLink,
    PendingSignIn,
    RecoveryCode,
    SecondFactor,
)
from authz.tables.tokens import Code, CutOff, Delegation, DeviceGrant, PersonalToken, RefreshToken, SigningKey, Spent

__all__ = [
    "BrowserSession",
    "ClaimMapping",
    "Client",
    "Code",
    "Consent",
    "CutOff",
    "Delegation",
    "DeviceGrant",
    "FailedSignIns",
    "ForeignSession",
    "Group",
    "Membership",
    "OneTimeLink",
    "PendingSignIn",
    "Person",
    "PersonalToken",
    "Provider",
    "RecoveryCode",
    "RefreshToken",
    "RoleBinding",
    "Rule",
    "ScimResource",
    "ScimToken",
    "SecondFactor",
    "SigningKey",
    "Spent",
    "TrustedIssuer",
    "WorkloadRule",
]
