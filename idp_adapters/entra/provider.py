"""Microsoft Entra ID: MSAL asks, we judge. Whoever it is, is (tenant, object id), never an address."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from authlib.common.urls import add_params_to_uri

from idp_adapters.common import GUID
from idp_adapters.contract import Departure, Ended, IdentityRefused, Lent, ProviderDown
from idp_adapters.entra import graph, standing
from idp_adapters.entra.kept import Kept, read_kept
from idp_adapters.entra.msal_client import acquired, client
from idp_adapters.oidc.answer import read_answer
from idp_adapters.oidc.checking import clock, follow, keys
from idp_adapters.oidc.claims import carried, identity_of, text
from idp_adapters.oidc.discovery import WELL_KNOWN, Issuer
from idp_adapters.oidc.judging import FRESH, Expected, client_of, judge_id_token, moment, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from idp_adapters.contract import Arrival, Equipment, ExternalIdentity, Finding
    from idp_adapters.entra.config import EntraConfig

ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - RFC 8693 section 3
ALGORITHMS: Final = frozenset({"RS256"})  # the one that Entra ID signs with
LONGEST_TOKEN: Final = 32 * 1024


class EntraProvider:
    """Redirecting, Renewing, LoggingOut, Vouching, Lending and Standing."""

    subject_token_type = ID_TOKEN

    def __init__(self, config: EntraConfig, equipment: Equipment) -> None:
        self.config = config
        self._equipment = equipment
        self._home = self._issuer(config.tenant)
        self._tenants = {tenant: self._issuer(tenant) for tenant in config.pinned}
        self._names = frozenset(issuer.name for issuer in self._tenants.values())

    def _issuer(self, tenant: str) -> Issuer:
        """Each tenant is an issuer of its own. `organizations` and `common` are none: they publish a template."""
        name = tenant.lower() if GUID.fullmatch(tenant) else "{tenantid}"
        base = self.config.authority
        return Issuer(self._equipment, f"{base}/{name}/v2.0", f"{base}/{tenant}/v2.0{WELL_KNOWN}")

    def _client(self, tenant: str, issuer: Issuer, cache: str = "") -> Any:
        return client(self.config, self._equipment, issuer, f"{self.config.authority}/{tenant}", cache)

    def _scopes(self) -> list[str]:
        """An app that asks for a token for itself goes by its id (AADSTS90009)."""
        if self.config.on_behalf:
            return [f"{self.config.client_id}/.default"]
        return [f"{_origin(self.config.graph)}/GroupMember.Read.All"] if self.config.graph_as == "person" else []

    def check(self) -> Iterator[Finding]:
        return follow({
            "the discovery document": lambda: f"{self._home.metadata_url} is Entra ID's",
            "the provider's clock": lambda: clock(self._home, self.config.leeway),
            "the tenants and their keys": self._check_tenants,
            "the client": self._check_client,
            "groups of people who have many": self._check_graph,
            "the addresses to register there": self._addresses,
        })  # fmt: skip

    def depart(self, callback: str, state: str, *, again: bool = False) -> Departure:
        flow = self._client(self.config.tenant, self._home).initiate_auth_code_flow(
            self._scopes(),
            redirect_uri=callback,
            state=state,
            prompt="login" if again else self.config.prompt or None,
            max_age=self.config.max_age,
            response_mode="form_post",  # keeps the code out of addresses and logs (RFC 9700 section 4.3.1)
        )
        return Departure(url=flow.pop("auth_uri"), kept={"state": state, "flow": msgspec.json.encode(flow).decode()})

    def arrive(self, arrival: Arrival, kept: Mapping[str, str]) -> ExternalIdentity:
        """Whose answer it is, before anything is sent; then MSAL redeems the code; then all that it said is judged."""
        read_answer(arrival.parameters, kept, self._names, promises_iss=self._home.metadata().promises_iss)
        flow = msgspec.json.decode(kept["flow"])
        application = self._client(self.config.tenant, self._home)
        found = acquired(lambda: application.acquire_token_by_auth_code_flow(flow, dict(arrival.parameters)))
        nonce = hashlib.sha256(flow["nonce"].encode()).hexdigest()  # what MSAL sends of it
        claims = self._judged(found, nonce=nonce, max_age=self.config.max_age)
        return self._with_keep(self._identity(claims, found), claims, found, application)

    def renew(self, keep: bytes) -> ExternalIdentity:
        """Groups as they are now; when they signed in, and in which session, stays as it was."""
        kept = read_kept(keep)
        application = self._client(kept.tenant, self._tenant(kept.tenant), kept.cache)
        found = acquired(lambda: _refreshed(application, self._scopes()))
        claims = self._judged(found)
        if (claims["tid"], claims["oid"]) != (kept.tenant, kept.person):
            raise IdentityRefused("other_subject", "the identity provider speaks of somebody else now")
        then = {"auth_time": kept.authenticated_at, "sid": kept.session}
        return self._with_keep(self._identity({**claims, **then}, found), claims, found, application)

    def leave(self, keep: bytes, back: str, state: str) -> Departure | None:
        url = self._home.metadata().end_session_endpoint
        asked = {"post_logout_redirect_uri": back, "state": state, "logout_hint": read_kept(keep).hint}
        found = [(name, value) for name, value in asked.items() if value]
        return Departure(url=add_params_to_uri(url, found)) if url else None

    def hear(self, arrival: Arrival) -> Ended:
        """Front-Channel Logout 1.0 section 2: Entra ID knows no other. The person's own browser brings it, so it names
        a session that only they and Entra ID know.
        """
        issuer, session = arrival.parameters.get("iss", ""), arrival.parameters.get("sid", "")
        if issuer not in self._names or not 0 < len(session) <= 255:
            raise IdentityRefused("no_logout", "this does not say which sign-in ended")
        return Ended(issuer=issuer, subject="", session=session)

    def identity_token(self, keep: bytes) -> Lent | None:
        kept = read_kept(keep)
        return self._if_good(kept.id_token, kept.id_token_until)

    def on_behalf(self, keep: bytes, scopes: Sequence[str]) -> Lent | None:
        if not self.config.on_behalf:
            raise ProviderDown("on_behalf_off", "this identity provider is not configured for it: set its on_behalf")
        kept = read_kept(keep)
        own = self._if_good(kept.access_token, kept.access_until)
        if own is None:
            return None
        application = self._client(kept.tenant, self._tenant(kept.tenant))
        return standing.on_behalf(application, own.token, scopes, self._equipment.now())

    def on_our_own(self, scopes: Sequence[str]) -> Lent:
        tenant = min(self._tenants)
        return standing.on_our_own(self._client(tenant, self._tenant(tenant)), scopes, self._equipment.now())

    def _if_good(self, token: str, until: float) -> Lent | None:
        return Lent(token, until) if token and until > self._equipment.now() + standing.ENOUGH else None

    def answers_for(self, issuer: str) -> bool:
        return issuer in self._names

    def vouch(self, credential: str, audience: str, recipient: str) -> ExternalIdentity:  # noqa: ARG002 - SAML's
        """An ID token for one of the clients that were named: nobody else's proves anything here (T-14)."""
        if not self.config.accepted_clients:
            raise IdentityRefused("no_accepted_clients", "this identity provider's ID tokens are not exchanged here")
        claims = self._judge(credential, clients=frozenset(self.config.accepted_clients))
        asking = {} if "groups" in claims else {"hasgroups": True}  # that client's tokens may be made without them
        return replace(self._identity({**claims, **asking}, {}), presented_to=client_of(claims))

    def _judged(self, found: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
        raw, access_token = found.get("id_token"), found.get("access_token", "")
        if not isinstance(raw, str) or not isinstance(access_token, str):
            raise ProviderDown("no_id_token", "Entra ID answered without an ID token")
        return self._judge(raw, fresh=FRESH, access_token=access_token, **more)

    def _judge(self, raw: str, **more: Any) -> Mapping[str, Any]:
        """All that MSAL does not: signature, issuer and tenant, audience, times, nonce (T-39)."""
        tenant = _unverified_tenant(raw)
        issuer = self._tenant(tenant)
        token = issuer.verify(raw, ALGORITHMS)
        ours = {"issuer": issuer.name, "clients": frozenset({self.config.client_id}), "leeway": self.config.leeway}
        claims = judge_id_token(token, Expected(**{**ours, "now": self._equipment.now(), **more}))
        person = claims.get("oid")
        if claims.get("ver") != "2.0" or claims.get("tid") != tenant:
            raise refused("tenant")
        if not isinstance(person, str) or not GUID.fullmatch(person):
            raise refused("oid")
        return claims

    def _tenant(self, tenant: str) -> Issuer:
        if tenant not in self._tenants:
            raise IdentityRefused("foreign_tenant", "people of this tenant may not sign in here")
        return self._tenants[tenant]

    def _identity(self, claims: Mapping[str, Any], found: Mapping[str, Any]) -> ExternalIdentity:
        complete = self._with_groups(claims, found)
        return identity_of(
            complete,
            issuer=complete["iss"],
            subject=complete["oid"],
            login=text(complete, "preferred_username") or complete["oid"],
            carried=carried(complete, "groups", self.config.carry),
        )

    def _with_groups(self, claims: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
        if not graph.too_many(claims):
            return claims
        listed = self._all_groups(claims, found)
        return {**{name: value for name, value in claims.items() if name != "_claim_names"}, "groups": listed}

    def _all_groups(self, claims: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
        """Of somebody with too many for a token: all, or nobody signs in. Missing ones could lift a denial."""
        base, way = self.config.graph, self.config.graph_as
        if way == "app":
            return graph.groups(self._equipment, base, self._graph_token(claims["tid"]), claims["oid"])
        if way == "person" and found.get("access_token"):
            return graph.groups(self._equipment, base, found["access_token"])
        raise ProviderDown("groups_overage", "too many groups for a token, or none in it, and Graph cannot be asked")

    def _graph_token(self, tenant: str) -> str:
        """Ours, not the person's (RFC 6749 section 4.4)."""
        application = self._client(tenant, self._tenant(tenant))
        scopes = [f"{_origin(self.config.graph)}/.default"]
        return str(acquired(lambda: application.acquire_token_for_client(scopes))["access_token"])

    def _with_keep(
        self, identity: ExternalIdentity, claims: Mapping[str, Any], found: Mapping[str, Any], application: Any
    ) -> ExternalIdentity:
        own, life = self.config.on_behalf, found.get("expires_in")
        kept = Kept(
            tenant=claims["tid"],
            person=claims["oid"],
            cache=application.token_cache.serialize(),
            hint=text(claims, "login_hint"),
            id_token=found["id_token"],
            id_token_until=moment(claims, "exp") or 0.0,
            access_token=found["access_token"] if own else "",
            access_until=self._equipment.now() + life if own and isinstance(life, int) else 0.0,
            authenticated_at=identity.authenticated_at,
            session=identity.session,
        )
        return replace(identity, keep=msgspec.json.encode(kept))

    def _check_tenants(self) -> str:
        for issuer in self._tenants.values():
            keys(issuer)
        return ", ".join(sorted(self._tenants))

    def _check_client(self) -> str:
        self._graph_token(min(self._tenants))
        return "Entra ID knows it"

    def _check_graph(self) -> str:
        if self.config.graph_as != "app":
            return "they are asked for as the person" if self.config.graph_as == "person" else "they cannot sign in"
        for tenant in sorted(self._tenants):
            if not graph.may_read_groups(self._equipment, self.config.graph, self._graph_token(tenant)):
                raise ProviderDown("graph_forbidden", f"grant GroupMember.Read.All (application) in tenant {tenant}")
        return "Microsoft Graph lets us read them"

    def _addresses(self) -> str:
        ours = f"{self._equipment.base_url}/signin/{self._equipment.slug}"
        return f"redirect (web): {ours}/callback; front-channel logout: {ours}/logout"


def _refreshed(application: Any, scopes: list[str]) -> Any:
    """With the refresh token of the one account in its cache."""
    account = next(iter(application.get_accounts()), None)
    return application.acquire_token_silent_with_error(scopes, account, force_refresh=True)


def _unverified_tenant(raw: str) -> str:
    """Which tenant's keys are to be tried; only a tenant that is pinned leads anywhere, and its signature decides."""
    try:
        segment = raw[:LONGEST_TOKEN].split(".")[1]
        payload = msgspec.json.decode(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (IndexError, binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise refused("unreadable") from error
    tenant = payload.get("tid") if isinstance(payload, dict) else None
    return tenant if isinstance(tenant, str) else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
