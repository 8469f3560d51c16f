"""What adapters reach the world with."""

from __future__ import annotations

import pytest

from gateway.fetch import Fetcher
from gateway.identity.equipment import GuardedHttp
from idp_adapters.contract import ProviderDown


def test_an_address_within_is_refused_with_what_to_say_of_the_provider() -> None:
    with pytest.raises(ProviderDown) as refused:
        GuardedHttp(Fetcher(())).send("GET", "https://10.1.2.3/x", limit=1, timeout=1)
    assert 'give the provider `allow_addresses = ["https://10.1.2.3:443"]`' in str(refused.value)
    assert "adding the server" not in str(refused.value)
