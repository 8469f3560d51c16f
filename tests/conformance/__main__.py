"""`python -m tests.conformance [--direct|--clients] [--pairing N] [--scenario NAME]`: exit 0 when all is as it must."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.conformance import authorization, clients, suite
from tests.fakes.gateway import Gateway
from tests.fakes.network.forwarder import Forwarder
from tests.fakes.processes import running

LONGEST = 1800.0  # seconds; all of it takes some 170 on two cores
FIXTURE = ("-m", "tests.fakes.fixture", "--era")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--direct", action="store_true", help="without the gateway: does the fixture itself pass?")
    parser.add_argument(
        "--clients", action="store_true", help="the scenarios for clients alone, against our upstream side"
    )
    parser.add_argument("--pairing", type=int, choices=range(len(suite.PAIRINGS)), help="one of the four alone")
    parser.add_argument("--scenario", default="", help="one scenario alone, with all that it says")
    chosen = parser.parse_args()
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    pairings = suite.PAIRINGS if chosen.pairing is None else suite.PAIRINGS[chosen.pairing : chosen.pairing + 1]
    if chosen.clients:
        failed = clients.failures(chosen.scenario)
    elif chosen.direct:
        failed = _direct(chosen.scenario)
    else:
        failed = _through(pairings, chosen.scenario)
        if chosen.pairing is None and not chosen.scenario:
            failed += clients.failures()
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def _direct(scenario: str) -> list[str]:
    """The fixture alone, each revision against its own era."""
    failed = []
    for pairing in (suite.PAIRINGS[0], suite.PAIRINGS[3]):
        print(f"\n== {pairing}, no gateway between")
        with running(*FIXTURE, pairing.era) as url:
            if not suite.server(_named(url), pairing, scenario):
                failed.append(str(pairing))
    return failed


def _through(pairings: tuple[suite.Pairing, ...], scenario: str) -> list[str]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-conformance-")))
        forwarder = stack.enter_context(Forwarder("127.0.0.1", 0))
        gateway = Gateway(folder, url=f"http://localhost:{forwarder.port}")
        forwarder.target = ("127.0.0.1", gateway.port)
        stack.enter_context(gateway)
        password = gateway.add_user("suite")
        failed = [str(pairing) for pairing in pairings if not _pair(stack, gateway, forwarder, pairing, scenario)]
        if not scenario:
            failed += authorization.failures(gateway, "suite", password)
        if failed:
            print(gateway.output()[-4000:], file=sys.stderr)
        return failed


def _pair(stack: ExitStack, gateway: Gateway, forwarder: Forwarder, pairing: suite.Pairing, scenario: str) -> bool:
    slug = f"fixture-{pairing.era}"
    mount = f"/servers/{slug}/mcp"
    if slug not in gateway.servers:
        gateway.add_server(
            slug, stack.enter_context(running(*FIXTURE, pairing.era)), "--allow", "elicitation,sampling,roots"
        )
        gateway.allow("user:suite", f"{slug}.*")
    forwarder.token = gateway.token("suite", mount)
    print(f"\n== {pairing}")
    return suite.server(gateway.url + mount, pairing, scenario)


def _named(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


if __name__ == "__main__":
    main()
