from __future__ import annotations

import os
import re
import threading
import time
import uuid

from authz.ids import fresh_id, fresh_mark


def test_an_id_is_a_uuid_of_the_time_at_which_it_was_drawn() -> None:
    for _ in range(1000):
        before = time.time()
        drawn = uuid.UUID(fresh_id())
        after = time.time()
        assert (drawn.version, drawn.variant) == (7, uuid.RFC_4122)
        assert int(before * 1000) <= drawn.int >> 80 <= int(after * 1000) + 1


def test_no_two_are_the_same_whatever_the_thread_or_process() -> None:
    drawn: list[str] = []
    threads = [threading.Thread(target=lambda: drawn.extend(fresh_id() for _ in range(5000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "".join(fresh_id() for _ in range(300)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    drawn += re.findall(".{32}", os.read(read, 32 * 300).decode())
    drawn += [fresh_id() for _ in range(300)]
    assert len(drawn) == len(set(drawn)) == 20_600


def test_a_mark_is_random_throughout() -> None:
    assert len({fresh_mark() for _ in range(1000)}) == 1000
    assert all(len({mark[at] for mark in (fresh_mark() for _ in range(300))}) >= 4 for at in range(16))
