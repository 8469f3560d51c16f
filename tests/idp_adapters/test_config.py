"""Kinds of providers and their configurations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from idp_adapters.common import ProviderConfig
from idp_adapters.config import KINDS, ConfigRefused, ExtraMissing, Kind, open_provider, read_config
from tests.idp_adapters.equipment import equipment

SECRET = "canary-in-the-wrong-place"
ROOT = Path(__file__).parents[2]


def test_a_kind_whose_libraries_are_not_there_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapter_without_library.py").write_text("import no_such_library_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = Kind(model=ProviderConfig, adapter="adapter_without_library:X", title="X", extra="xtra")
    monkeypatch.setitem(KINDS, "x", kind)  # type: ignore[arg-type]
    with pytest.raises(ExtraMissing, match=r"no_such_library_at_all is not installed: pip install 'ostiary\[xtra\]'"):
        open_provider("x", {}, equipment())


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_option_has_a_description_and_every_secret_too(kind: str) -> None:
    fields = KINDS[kind].model.model_fields
    assert not [name for name, field in fields.items() if not field.description]
    assert all(KINDS[kind].secrets.values())
    assert not [name for name in fields if name in {"slug", "kind", "title", "domains", "mappings"}]


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_option_has_the_name_of_where_a_secret_is(kind: str) -> None:
    places = {f"{purpose}_{end}" for purpose in KINDS[kind].secrets for end in ("env", "file")}
    assert not places & KINDS[kind].model.model_fields.keys()


def test_every_problem_is_named_and_no_value_is_repeated() -> None:
    with pytest.raises(ConfigRefused) as refused:
        read_config("oidc", {"client_secret": SECRET, "leeway": SECRET, "scopes": [{"x": SECRET}]})
    places = {problem.split(":")[0].split(".")[0] for problem in refused.value.problems}
    assert places == {"issuer", "client_id", "client_secret", "leeway", "scopes"}
    assert SECRET not in str(refused.value)


def test_a_kind_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ConfigRefused, match="oidc, entra, saml, ldap"):
        read_config("carrier-pigeon", {})


def test_reading_configurations_loads_no_adapter_and_no_library_of_one() -> None:
    program = (
        "import sys, gateway.settings, idp_adapters.config\n"
        "loaded = {'msal', 'saml2', 'ldap', 'idp_adapters.oidc.provider', 'requests'} & sys.modules.keys()\n"
        "sys.exit(', '.join(loaded) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_what_is_not_of_the_form_that_is_wanted_is_said_in_words_and_not_shown() -> None:
    with pytest.raises(ConfigRefused) as refused:
        read_config("oidc", {"issuer": "canary.example", "client_id": "us"})
    assert refused.value.problems == [
        "issuer: not of the form that is wanted: the issuer, exactly as the provider writes it: https://…"
    ]
