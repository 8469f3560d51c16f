"""What a call costs: `make bench`, or `python -m benchmarks --quick`.

The figure to trust is CPU microseconds per call of the process that serves; wall time on a shared machine is not. The
door under test has one core to itself, the load and the server behind the door share another one. A plain nginx stands
in for the door, by turns with it: read the ratio. "Beside" is what the process that copies the journal for search has
used for a call, until it had caught up: time that it takes when nobody else wants the core.
"""
