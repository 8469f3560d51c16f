"""T-98: a bad configuration is refused before the port opens, with every problem listed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.settings.loading import EXIT_CONFIGURATION, ConfigurationError, load

if TYPE_CHECKING:
    from pathlib import Path

BAD = [
    {"OSTIARY_PORT": "0x10"},
    {"OSTIARY_PORT": "-1"},
    {"OSTIARY_PORT": "65536"},
    {"OSTIARY_PORT": ""},
    {"OSTIARY_WORKERS": "0"},
    {"OSTIARY_WORKERS": "65"},
    {"OSTIARY_WORKERS": "2", "OSTIARY_PORT": "0"},
    {"OSTIARY_HOST": "0.0.0.0"},
    {"OSTIARY_HOST": "192.0.2.1"},
    {"OSTIARY_HOST": "192.0.2.1", "OSTIARY_PUBLIC_URL": "http://mcp.example.com"},
    {"OSTIARY_HOST": "::", "OSTIARY_INSECURE_BIND": "true"},
    {"OSTIARY_PUBLIC_URL": "http://mcp.example.com"},
    {"OSTIARY_PUBLIC_URL": "ftp://mcp.example.com"},
    {"OSTIARY_PUBLIC_URL": "https://*.example.com"},
    {"OSTIARY_PUBLIC_URL": "https://mcp.example.com/path"},
    {"OSTIARY_PUBLIC_URL": "https://user@mcp.example.com"},
    {"OSTIARY_PUBLIC_URL": "https://mcp.example.com?x=1"},
    {"OSTIARY_PUBLIC_URL": "https://mcp.example.com#x"},
    {"OSTIARY_PUBLIC_URL": "https://"},
    {"OSTIARY_PUBLIC_URL": "mcp.example.com"},
    {"OSTIARY_TLS_CERT": "/nonexistent/cert.pem"},
    {"OSTIARY_TLS_KEY": "/nonexistent/key.pem"},
    {"OSTIARY_TLS_CERT": "/nonexistent/cert.pem", "OSTIARY_TLS_KEY": "/nonexistent/key.pem"},
    {"OSTIARY_DEMO": "true", "OSTIARY_HOST": "192.0.2.1", "OSTIARY_PUBLIC_URL": "https://mcp.example.com"},
    {"OSTIARY_DEMO": "perhaps"},
    {"OSTIARY_TRUSTED_PROXIES": "everybody"},
    {"OSTIARY_TRUSTED_PROXIES": "10.0.0.1/8"},
    {"OSTIARY_ALLOWED_ORIGINS": "*"},
    {"OSTIARY_ALLOWED_ORIGINS": "https://app.example.com/path"},
    {"OSTIARY_ALLOW_ADDRESSES": "http://*:80"},
    {"OSTIARY_ALLOW_ADDRESSES": "10.0.0.5:8080"},
    {"OSTIARY_ADMIN_LISTEN": "8081"},
    {"OSTIARY_METRICS_LISTEN": "localhost:port"},
    {"OSTIARY_REQUEST_LIMIT": "10"},
    {"OSTIARY_ANSWER_LIMIT": "0"},
    {"OSTIARY_CALL_LIMIT": "1"},
    {"OSTIARY_CALL_DEADLINE": "-5"},
    {"OSTIARY_TOKEN_LIFE": "86400"},
    {"OSTIARY_REFRESH_LIFE": "1"},
    {"OSTIARY_JOURNAL_ARGUMENTS": "everything"},
    {"OSTIARY_JOURNAL_DURABILITY": "never"},
    {"OSTIARY_DATABASE_URL": "mysql://db/ostiary"},
    {"OSTIARY_DEBUG": "1"},
]


@pytest.mark.parametrize(
    "environment", BAD, ids=lambda environment: ",".join(f"{k}={v}" for k, v in environment.items())
)
def test_t_98_a_bad_setting_is_refused_with_a_sentence_that_names_it(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(None, environment)
    names = [key.removeprefix("OSTIARY_").lower() for key in environment]
    text = str(refused.value).lower()
    assert any(name in text for name in names), text


def test_t_98_all_problems_of_a_configuration_are_listed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    file.write_text('port = 70000\ncolour = "red"\nallowed_origins = ["*"]\n')
    with pytest.raises(ConfigurationError) as refused:
        load(file, {"OSTIARY_WORKERS": "0", "OSTIARY_NONSENSE": "1"}, call_limit=1)
    words = ("port", "colour", "allowed_origins", "workers", "nonsense", "call_limit")
    missing = [word for word in words if not any(word in problem.lower() for problem in refused.value.problems)]
    assert not missing


def test_t_98_a_mistyped_setting_is_told_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    file.write_text("worker = 2\n")
    with pytest.raises(ConfigurationError) as refused:
        load(file, {"OSTIARY_PROT": "1"})
    assert refused.value.problems == [
        "OSTIARY_PROT: no such setting; did you mean OSTIARY_PORT?",
        "worker: no such setting; did you mean workers?",
    ]


@pytest.mark.parametrize("text", ["port = ", "\x00", "[[["])
def test_t_98_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ostiary.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"ostiary\.toml: is not TOML"):
        load(file, {})


def test_t_98_a_file_that_is_nested_without_end_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    file.write_text("port = " + "[" * 100_000)
    with pytest.raises(ConfigurationError, match="nested too deep"):
        load(file, {})


def test_t_98_problems_are_told_in_our_words(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    file.write_text('trusted_proxies = ["10.0.0.0/8", "10.0.0.1/8"]\ntls_cert = 5\n')
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    assert [line.partition(", ")[0] for line in refused.value.problems] == [
        "tls_cert: must be the path of a file or directory",
        "trusted_proxies.1: must be a network",
    ]


def test_t_98_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.touch()
    key.touch(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load(None, {}, tls_cert=certificate, tls_key=key)


def test_t_98_the_command_exits_78_before_it_makes_anything(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [
        sys.executable,
        "-m",
        "gateway",
        "up",
        "--data",
        str(data),
        "--host",
        "0.0.0.0",
        "--demo",
        "--workers",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_CONFIGURATION
    assert "demo" in done.stderr
    assert "host" in done.stderr
    assert not data.exists()


def test_t_98_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    file.write_text("port = 1001\nworkers = 3\ntoken_life = 100\n")
    settings = load(file, {"OSTIARY_PORT": "1002", "OSTIARY_WORKERS": "4"}, port=1003, workers=None)
    assert (settings.port, settings.workers, settings.token_life) == (1003, 4, 100)
