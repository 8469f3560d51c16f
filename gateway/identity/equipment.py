"""What an adapter is handed: the guarded way out, our judge of signatures, one-use marks, its own secrets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz import jose, once
from gateway.fetch import Fetcher, FetchFailed
from idp_adapters.contract import Equipment, HttpAnswer, ProviderDown
from registry.errors import AddressRefused, SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.office import Office
    from idp_adapters.common import ProviderConfig


class GuardedHttp:
    """The way out as adapters know it: whatever goes wrong on it, the provider cannot be asked."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limit: int,
        timeout: float,
    ) -> HttpAnswer:
        try:
            return self._fetcher.send(method, url, headers=headers, body=body, limit=limit, timeout=timeout)
        except AddressRefused as refused:
            raise ProviderDown("unreachable", _with_advice(refused)) from refused
        except FetchFailed as failed:
            raise ProviderDown("unreachable", str(failed)) from failed


def _with_advice(refused: AddressRefused) -> str:
    if not refused.remedy:
        return refused.why
    return (
        f"{refused.why}; if this is meant, give the provider `{refused.remedy}`, with --allow-addresses or in the file"
    )


def owner_of(slug: str) -> str:
    """Under which the secrets of a provider are sealed."""
    return f"idp:{slug}"


def equip(office: Office, slug: str, config: ProviderConfig) -> Equipment:
    """Of one provider; nothing of another can be had by it."""
    exceptions = (*office.settings.allow_addresses, *config.allow_addresses)

    def marked(key: str, until: float) -> bool:
        return once.first_time(office.database, owner_of(slug), key, until)

    return Equipment(
        slug=slug,
        base_url=office.settings.base_url,
        http=GuardedHttp(Fetcher(exceptions, config.ca_file)),
        verify_jwt=jose.verify_foreign,
        sign_jwt=jose.sign_abroad,
        once=marked,
        secret=_secrets(office, slug),
        now=time.time,
    )


def _secrets(office: Office, slug: str) -> Callable[[str], bytes]:
    def secret(purpose: str) -> bytes:
        try:
            with office.database.read() as session:
                return office.vault.open_secret(session, owner_of(slug), purpose)
        except SecretRefused as refused:
            words = f"{refused}; `ostiary idp secret {slug} {purpose}` stores it"
            raise ProviderDown("secret_missing", words) from refused

    return secret
