"""One process among several that want the same token at the same moment: `DATA ORIGIN SECONDS_AHEAD THREADS`.

Says `ready`, waits for a line, and prints what its threads were given, as SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.assembly import open_office
from gateway.credentials import Asked
from gateway.credentials.equipment import Equipment
from gateway.credentials.kept import Kept
from gateway.settings.loading import load
from registry.catalogue.assembling import upstream_of
from registry.tables import Server
from tests.fakes.servers.raw import principal


def main(data: str, origin: str, ahead: str, threads: str) -> None:
    office = open_office(load(None, data=Path(data), allow_addresses=(origin,)))
    source = Kept(Equipment(office, clock=lambda: time.time() + float(ahead)))
    with office.database.read() as session:
        upstream = upstream_of(session.get_one(Server, "notes"), [origin])
    asked = Asked(upstream=upstream, principal=principal("usr_alice"))
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(int(threads)) as pool:
        given = [one.credential.value for one in pool.map(source.obtain, [asked] * int(threads))]
    print(json.dumps(sorted({hashlib.sha256(value).hexdigest() for value in given})))
    office.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
