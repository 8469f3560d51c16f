"""`ostiary backup` and `ostiary restore`."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, disk_in_a_sentence, show, with_office
from gateway.settings.loading import load

MOVED = (
    "Accounts at servers and delegations were kept, because this is a move. NEVER START THE OLD GATEWAY AGAIN: two "
    "that use the same accounts end them for both, and what is ended at one stays alive at the other. Remove its data."
)

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.operating.backup.restoring import Restored
    from gateway.settings import Settings


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="replace FILE if it exists")
@as_json
@with_office
def backup(office: Office, *, file: Path, force: bool, as_json: bool) -> None:
    """Write all but the master key to FILE, while the gateway runs.

    Or while it does not; the key is yours to keep apart.

    People sign in again after a restore: sessions and refresh tokens are not in it.
    """
    from gateway.operating.backup.making import make

    if file.exists() and not file.is_file():
        raise click.ClickException(f"{file} is not a file that could be replaced: give another name")
    if file.exists() and not force:
        raise click.ClickException(f"{file} exists: give another name, or --force")
    if not file.parent.is_dir():
        raise click.ClickException(f"{file.parent} does not exist")
    made = make(office, file)
    key = office.settings.data / "keys" / "master.key"
    text = f"{made.file}: {made.rows} rows, {made.segments} segments of the journal, {made.bytes} bytes\n"
    text += f"The master key is not in it. Keep a copy of {key} elsewhere." if key.exists() else ""
    show(asdict(made), as_json=as_json, text=text.rstrip)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--master-key", type=click.Path(dir_okay=False, path_type=Path), help="file of the master key")
@click.option("--data", type=click.Path(path_type=Path), help="data directory to make; it must not exist or be empty")
@click.option("--database-url", help="PostgreSQL URL of an empty database, if the gateway is to use one")
@click.option("--config", type=click.Path(path_type=Path), help="configuration file (TOML)")
@click.option("--move", is_flag=True, help="the old gateway was off and stays off: keep accounts and delegations")
@as_json
def restore(
    *,
    file: Path,
    master_key: Path | None,
    data: Path | None,
    database_url: str | None,
    config: Path | None,
    move: bool,
    as_json: bool,
) -> None:
    """Make a data directory from a backup. The rows may move between SQLite and PostgreSQL on the way.

    Needs the master key: from --master-key, from OSTIARY_MASTER_KEY, or in place as DATA/keys/master.key.

    Accounts at servers and delegations have to be begun anew, for nobody can know what was ended since. With --move
    they stay: say it only of a backup that was made after the old gateway was stopped, and never start that one again.
    """
    from gateway.operating.backup.restoring import RestoreRefused
    from gateway.operating.backup.restoring import restore as put_back

    settings = load(config, data=data, database_url=database_url)
    try:
        with disk_in_a_sentence():
            restored = put_back(settings, file, master_key, move=move)
    except RestoreRefused as refused:
        raise click.ClickException(str(refused)) from refused
    show({"data": str(settings.data)} | asdict(restored), as_json=as_json, text=lambda: _told(settings, restored))


def _told(settings: Settings, restored: Restored) -> str:
    """Whatever was taken from somebody since the backup may be theirs again: that has to be said."""
    made = datetime.fromtimestamp(restored.made_at, UTC)
    if restored.move:
        return f"{_begun(settings, made)}\n{MOVED}"
    return f"{_begun(settings, made)}\n{_anew(restored)}"


def _begun(settings: Settings, made: datetime) -> str:
    start = f"ostiary up --data {shlex.quote(str(settings.data))}"
    return f"{settings.data} is as it was on {made:%Y-%m-%d %H:%M} UTC. Start with `{start}`; people sign in again."


def _anew(restored: Restored) -> str:
    return (
        f"To be begun anew: {restored.connections} accounts at servers, {restored.delegations} delegations.\n"
        "LOOK THROUGH what was changed since: whoever was disabled, and every rule, server and tool that was removed "
        "or suspended after that time, is as it was then."
    )
