"""The fakes are run as the demo's servers are: `--port 0`, and one line that says where."""

from __future__ import annotations

import sys

from tests.fakes.processes import ROOT

sys.path.append(str(ROOT / "examples" / "servers"))

from serving import options, serve

__all__ = ["options", "serve"]
