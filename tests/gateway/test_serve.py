"""Workers that cannot live: the operator is told why, and whoever supervises the process sees that it failed."""

from __future__ import annotations

import subprocess
import sys

HOPELESS = """
import logging
from gateway import serve

logging.basicConfig()
serve.RESPAWN_PAUSE = 0

def refuse():
    raise LookupError("nothing here knows this")

serve.Workers(refuse, 1, []).run(lambda: None)
"""


def test_workers_that_cannot_live_say_why_and_end_as_a_failure() -> None:
    ended = subprocess.run([sys.executable, "-c", HOPELESS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "LookupError: nothing here knows this" in ended.stderr
    assert "giving up" in ended.stderr
