"""OpenID Connect as a relying party: the code flow, renewal, logout both ways, and ID tokens that others present."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from idp_adapters.contract import Departure, Ended, IdentityRefused, Lent, ProviderDown
from idp_adapters.oidc import lending
from idp_adapters.oidc.answer import read_answer
from idp_adapters.oidc.checking import walk
from idp_adapters.oidc.claims import carried, identity_of, says, text
from idp_adapters.oidc.discovery import Issuer
from idp_adapters.oidc.endpoints import Endpoints
from idp_adapters.oidc.judging import (
    FRESH,
    LOGOUT_FRESH,
    Expected,
    client_of,
    judge_id_token,
    judge_logout_token,
    moment,
)
from idp_adapters.oidc.kept import hint_of, kept_of, read_kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from idp_adapters.contract import Arrival, Equipment, ExternalIdentity, Finding
    from idp_adapters.oidc.config import OidcConfig
    from idp_adapters.oidc.endpoints import Tokens
    from idp_adapters.oidc.kept import Kept

ABOUT_THE_SIGN_IN: Final = frozenset({"auth_time", "acr", "amr", "sid", "azp", "iat"})


class OidcProvider:
    """Redirecting, Renewing, LoggingOut, Vouching, Lending and Asserting."""

    subject_token_type = lending.ID_TOKEN

    def __init__(self, config: OidcConfig, equipment: Equipment) -> None:
        self.config = config
        self._equipment = equipment
        self.issuer = Issuer(equipment, config.issuer)
        self.endpoints = Endpoints(config, equipment)

    def check(self) -> Iterator[Finding]:
        return walk(
            self.config, self.issuer, self.endpoints, f"{self._equipment.base_url}/signin/{self._equipment.slug}"
        )

    def depart(self, callback: str, state: str, *, again: bool = False) -> Departure:
        """Core section 3.1.2.1."""
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        url = prepare_grant_uri(
            self.issuer.metadata().authorization_endpoint,
            self.config.client_id,
            "code",
            redirect_uri=callback,
            scope=" ".join(self.config.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
            **self._wishes(again=again),
        )
        return Departure(url=url, kept={"state": state, "nonce": nonce, "verifier": verifier, "callback": callback})

    def _wishes(self, *, again: bool) -> dict[str, str]:
        config = self.config
        wishes = {"prompt": "login" if again else config.prompt, "acr_values": " ".join(config.acr_values)}
        if config.max_age is not None:
            wishes["max_age"] = str(config.max_age)
        return {name: value for name, value in wishes.items() if value}

    def arrive(self, arrival: Arrival, kept: Mapping[str, str]) -> ExternalIdentity:
        """Core section 3.1.2.5 and what follows. Whose answer this is comes first: before it nothing is sent."""
        metadata = self.issuer.metadata()
        code = read_answer(arrival.parameters, kept, {self.config.issuer}, promises_iss=metadata.promises_iss)
        tokens = self.endpoints.redeem(metadata.token_endpoint, code, kept["callback"], kept["verifier"])
        if not tokens.id_token:
            raise ProviderDown("no_id_token", "the identity provider answered without an ID token")
        claims = self._judge(tokens, nonce=kept["nonce"])
        return self._identity(self._completed(claims, tokens), tokens, nonce=kept["nonce"])

    def renew(self, keep: bytes) -> ExternalIdentity:
        """Core section 12: the same person, or nobody. Without a new ID token the userinfo endpoint has to say who."""
        kept = read_kept(keep)
        if not kept.refresh_token:
            raise ProviderDown("not_renewable", "the identity provider gave nothing to ask again with (offline_access)")
        tokens = self.endpoints.refresh(self.issuer.metadata().token_endpoint, kept.refresh_token)
        claims = self._renewed(tokens, kept)
        if claims["sub"] != kept.subject:
            raise IdentityRefused("other_subject", "the identity provider speaks of somebody else now")
        then = {"auth_time": kept.authenticated_at, "acr": kept.acr, "amr": list(kept.amr), "sid": kept.session}
        return self._identity({**self._completed(claims, tokens), **then}, tokens, nonce=kept.nonce, before=kept)

    def _renewed(self, tokens: Tokens, kept: Kept) -> Mapping[str, Any]:
        """When and how they signed in stays what it was then, so neither is judged again."""
        if not tokens.id_token:
            if not (tokens.access_token and self._userinfo_url()):
                raise ProviderDown("not_renewable", "the identity provider renews without saying whom")
            return {"sub": kept.subject}
        token = self.issuer.verify(tokens.id_token, self.config.algorithms)
        nonce = kept.nonce if "nonce" in token.claims else ""
        expected = self._expected(fresh=FRESH, nonce=nonce, access_token=tokens.access_token)
        return judge_id_token(token, expected)

    def leave(self, keep: bytes, back: str, state: str) -> Departure | None:
        """RP-Initiated Logout 1.0 section 2; None where the provider offers none."""
        url = self.issuer.metadata().end_session_endpoint
        if not url:
            return None
        hint = hint_of(read_kept(keep))
        asked = {
            "client_id": self.config.client_id, "post_logout_redirect_uri": back, "state": state, "id_token_hint": hint
        }  # fmt: skip
        return Departure(url=add_params_to_uri(url, [(name, value) for name, value in asked.items() if value]))

    def hear(self, arrival: Arrival) -> Ended:
        """Back-Channel Logout 1.0 section 2.5: a POST of the provider itself. `subject` is empty where it only names
        the session.
        """
        raw = arrival.parameters.get("logout_token", "")
        if arrival.method != "POST" or not raw:
            raise IdentityRefused("no_logout_token", "a logout token is posted here, and nothing else")
        token = self.issuer.verify(raw, self.config.algorithms)
        claims = judge_logout_token(token, self._expected(fresh=LOGOUT_FRESH))
        until = claims["exp"] + self.config.leeway
        if not self._equipment.once(f"logout_token\n{self.config.issuer}\n{claims['jti']}", until):
            raise IdentityRefused("logout_token_used", "this logout token was heard before")
        return Ended(issuer=self.config.issuer, subject=claims.get("sub", ""), session=claims.get("sid", ""))

    def identity_token(self, keep: bytes) -> Lent | None:
        return lending.id_token(keep, self._equipment.now())

    def assertion(self, keep: bytes, audience: str, resource: str, scopes: Sequence[str]) -> Lent | None:
        """Asked for by the app that the person signed in to, and judged before anybody else sees it."""
        lent = self.identity_token(keep)
        if lent is None:
            return None
        asked = lending.exchange_form(lent.token, audience, resource, scopes)
        answer = self.endpoints.ask(self.issuer.metadata().token_endpoint, lending.TOKEN_EXCHANGE, **asked)
        token = lending.read_exchange(answer)
        return Lent(token, lending.judged(token, self.config.issuer, audience, resource, self._equipment.now()))

    def answers_for(self, issuer: str) -> bool:
        return issuer == self.config.issuer

    def vouch(self, credential: str, audience: str, recipient: str) -> ExternalIdentity:  # noqa: ARG002 - SAML's
        """An ID token for one of the clients that were named: nobody else's proves anything here (T-14).

        Where userinfo completes what the token leaves out, one without groups does not mean that there are none.
        """
        if not self.config.accepted_clients:
            raise IdentityRefused("no_accepted_clients", "this identity provider's ID tokens are not exchanged here")
        token = self.issuer.verify(credential, self.config.algorithms)
        clients = frozenset(self.config.accepted_clients)
        claims = judge_id_token(token, self._expected(clients=clients))
        if self._userinfo_url() and not says(claims, self.config.groups_claim):
            raise IdentityRefused("groups_unsaid", "the ID token leaves the groups out, and nobody else can be asked")
        return self._identity(claims, presented_to=client_of(claims))

    def _judge(self, tokens: Tokens, *, nonce: str) -> Mapping[str, Any]:
        token = self.issuer.verify(tokens.id_token, self.config.algorithms)
        expected = self._expected(
            fresh=FRESH,
            nonce=nonce,
            access_token=tokens.access_token,
            max_age=self.config.max_age,
            acr_values=self.config.acr_values,
        )
        return judge_id_token(token, expected)

    def _expected(self, **more: Any) -> Expected:
        ours: dict[str, Any] = {
            "issuer": self.config.issuer,
            "clients": frozenset({self.config.client_id}),
            "now": self._equipment.now(),
            "leeway": self.config.leeway,
        }
        return Expected(**(ours | more))

    def _completed(self, claims: Mapping[str, Any], tokens: Tokens) -> Mapping[str, Any]:
        """With what userinfo adds about the person; how they signed in is said by what is signed, or by nobody."""
        url = self._userinfo_url()
        if not (url and tokens.access_token):
            return claims
        said = self.endpoints.userinfo(url, tokens.access_token, claims["sub"])
        return {**{name: value for name, value in said.items() if name not in ABOUT_THE_SIGN_IN}, **claims}

    def _userinfo_url(self) -> str:
        return self.issuer.metadata().userinfo_endpoint if self.config.userinfo else ""

    def _identity(
        self,
        claims: Mapping[str, Any],
        tokens: Tokens | None = None,
        *,
        nonce: str = "",
        presented_to: str = "",
        before: Kept | None = None,
    ) -> ExternalIdentity:
        found = identity_of(
            claims,
            issuer=self.config.issuer,
            subject=claims["sub"],
            login=text(claims, self.config.login_claim) or text(claims, "email") or claims["sub"],
            carried=carried(claims, self.config.groups_claim, self.config.carry),
            presented_to=presented_to,
        )
        if tokens is None:
            return found
        until = moment(claims, "exp") or 0.0 if tokens.id_token else 0.0
        return replace(found, keep=kept_of(found, tokens, until, nonce, before))
