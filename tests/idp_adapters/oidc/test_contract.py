"""What every adapter promises, kept by those for OpenID Connect and Entra ID against providers of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.network.certificates import make_certificate
from tests.fakes.providers.entra import EntraShaped
from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.idp_adapters.contract_suite import ContractSuite, RedirectingSuite, RenewingSuite
from tests.idp_adapters.relying import Relying, RelyingOnEntra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestOidc(ContractSuite, RedirectingSuite, RenewingSuite):
    @pytest.fixture
    def subject(self) -> Iterator[Relying]:
        provider = OpenIdProvider()
        with listening(provider):
            yield Relying(provider)


class TestEntra(ContractSuite, RedirectingSuite, RenewingSuite):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Relying]:
        provider = EntraShaped()
        ca_file, context = make_certificate(tmp_path, "localhost")
        with listening(provider, context, "localhost"):
            yield RelyingOnEntra(provider, "entra", equipped={"ca_file": ca_file})
