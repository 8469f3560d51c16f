"""A provider that does as it is told, and our adapter on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.network.certificates import make_certificate
from tests.fakes.providers.entra import EntraShaped
from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.idp_adapters.relying import Relying, RelyingOnEntra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def oidc() -> Iterator[Relying]:
    provider = OpenIdProvider()
    with listening(provider):
        yield Relying(provider)


@pytest.fixture
def entra_provider(tmp_path: Path) -> Iterator[tuple[EntraShaped, Path]]:
    """And the certificate to trust: MSAL speaks TLS or nothing."""
    provider = EntraShaped()
    ca_file, context = make_certificate(tmp_path, "localhost")
    with listening(provider, context, "localhost"):
        yield provider, ca_file


@pytest.fixture
def entra(entra_provider: tuple[EntraShaped, Path]) -> RelyingOnEntra:
    provider, ca_file = entra_provider
    return RelyingOnEntra(provider, "entra", equipped={"ca_file": ca_file})
