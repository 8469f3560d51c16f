"""The data plane's way out: HTTP/1.1 on kept-alive connections, to pinned addresses and nowhere else.

`routes` says where a registered server is, `pool` keeps connections to it, `connection` speaks on one of them, `budget`
bounds what is held in memory, `frames` takes an event stream apart. No proxy, no redirect, no content coding.
"""
