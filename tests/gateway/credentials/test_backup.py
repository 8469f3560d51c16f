from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from gateway.assembly import open_office
from gateway.credentials import ConnectionNeeded
from gateway.credentials.kept import Kept
from gateway.operating.backup.making import make
from gateway.operating.backup.restoring import restore
from registry.tables import Notice, PendingConnect
from tests.gateway.credentials.oauth.settled import Settled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.servers.upstream_oauth import Upstream

pytestmark = pytest.mark.sqlite


def test_what_people_connected_has_to_be_connected_again_after_a_restore_and_what_was_under_way_is_gone(
    fake: Upstream, office: Settled, tmp_path: Path
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    office.depart(upstream, "usr_bob")  # on the way to the authorization server
    with office.office.database.change() as session:
        session.add(Notice(id="msg_1", body="{}", at=0, due_at=0))
    make(office.office, tmp_path / "backup")
    settings = office.office.settings.model_copy(update={"data": tmp_path / "other"})
    restore(settings, tmp_path / "backup", office.office.settings.data / "keys" / "master.key")
    restored = Settled(open_office(settings))
    with pytest.raises(ConnectionNeeded, match="restored from a backup"):
        Kept(restored.equipment).obtain(restored.asked(upstream))
    restored.connect(fake, upstream)
    assert Kept(restored.equipment).obtain(restored.asked(upstream)).credential.value
    with restored.office.database.read() as session:
        assert not session.exec(select(PendingConnect)).all()
        assert not session.exec(select(Notice)).all()
    restored.office.close()
