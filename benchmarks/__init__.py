"""What a call costs: `make bench`, or `python -m benchmarks --quick`.

The figure to trust is CPU microseconds per call of the door's processes; wall time on a shared machine is not. What the
door does for a call later is in it: the next measurement waits until the journal is copied for search. The door under
test has one core to itself, the load and the server behind the door share another one. A plain nginx stands in for the
door, by turns with it: read the ratio.
"""
