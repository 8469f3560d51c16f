from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.gateway.credentials.derived.bench import Bench, bench
from tests.gateway.credentials.derived.company import Service, join

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def company(opened: Bench, service: Service) -> Iterator[OpenIdProvider]:
    """A company with a provider, whose people the service knows by it."""
    provider = OpenIdProvider("RS256")
    with listening(provider):
        join(opened, provider)
        service.issuers[provider.issuer] = provider.signer.jwks["keys"]
        yield provider
