"""`client-credentials`: we ask for tokens as ourselves."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from registry.credentials.endpoints import NO_ENDPOINT, is_endpoint
from registry.credentials.modes.oauth import AppSettings
from registry.credentials.modes.settings import ClientAuth  # noqa: TC001 - pydantic reads the annotations


class ClientCredentialsSettings(AppSettings):
    """We ask for a token as ourselves (RFC 6749 section 4.4; SEP-1046)."""

    client_id: str = Field("", description="the app registered for us there")
    client_auth: ClientAuth = Field("client_secret_basic", description="how that app proves itself")
    workload: str = Field(
        "", description="the platform's token that says who we are instead, by its name in the operator's file"
    )
    grant: Literal["client_credentials", "jwt-bearer"] = Field(
        "client_credentials", description="what that token is shown as: our app's proof, or the grant itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_vouched_for(cls, given: Any) -> Any:
        """The platform's token takes the place of what an app proves itself with."""
        return {"client_auth": "none"} | given if isinstance(given, dict) and given.get("workload") else given

    @model_validator(mode="after")
    def _says_who_we_are(self) -> Self:
        if self.workload and self.client_auth != "none":
            raise ValueError("--client-auth goes without --workload: the platform's token is the proof")
        if self.grant == "jwt-bearer" and not self.workload:
            raise ValueError("--workload is missing: say which token of the platform is the grant")
        if self.grant == "client_credentials" and not self.client_id:
            raise ValueError("--client-id is missing: the app registered for us there")
        return self

    def _check_written(self) -> None:
        """Where nobody redeems a code it does not matter whether codes are guarded."""
        if not self.workload:
            super()._check_written()
        elif not is_endpoint(self.token_endpoint, self.token_endpoint):
            raise ValueError(f"--token-endpoint: {NO_ENDPOINT}")
