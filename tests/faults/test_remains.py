"""What many faults leave behind, on both sides in one process: nothing."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from typing import Any

import numpy as np
from faults.proxy import FaultProxy
from faults.schedules import EveryNth
from local_server import PATIENCE, TOKEN, Local, barrier

import wsremote
from wsremote.client.opening import poller as client_poller


def use(module: Any, rounds: int) -> None:
    """Calls of all kinds."""
    counter = module.Counter()
    block = np.arange(20_000, dtype=np.float64)
    for number in range(1, rounds + 1):
        assert counter.step() == number
        assert module.call(lambda: module.add(1, 2)) == 3
        items = [1]
        assert module.extend(items) == 2 == len(items)
        assert len(module.block(100_000)) == 100_000
        assert module.call(np.sum, block) == block.sum()


def left(local: Local, others: set[threading.Thread]) -> dict[str, Any]:
    """What there is of threads, descriptors, connections and what is kept for a resume.

    Without the threads of others: earlier tests have left some that end by and by.
    """
    for poller in (local.server.poller, client_poller()):
        barrier(poller)
    for thread in set(threading.enumerate()) - others:
        if thread.name.startswith(("wsremote-resume-", "wsremote-replay-", "wsremote-chores-")):
            thread.join(PATIENCE)
    gc.collect()
    mine = set(threading.enumerate()) - others
    return {
        "threads": sorted(re.sub(r"[0-9a-f]{8}|\d", "", thread.name) for thread in mine),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "receptions": len(local.server._receptions),
        "watched by the server": len(local.server.poller._connections),
        "watched by the client": len(client_poller()._connections),
    }


def more(now: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """What is there now and was not first.

    Of descriptors, which are of the whole process, those of earlier tests may have gone meanwhile.
    """
    return {
        what: (value, first[what])
        for what, value in now.items()
        if (value > first[what] if what == "descriptors" else value != first[what])
    }


def test_nothing_is_left_of_two_hundred_cuts(local: Local) -> None:
    """Of threads, descriptors and connections as much as after the first, and no buffers."""
    others = set(threading.enumerate())
    with FaultProxy(local.url) as proxy:
        with wsremote.connect(proxy.url, token=TOKEN, new=True) as session:
            module = getattr(session.modules, local.name)
            proxy.cut()
            use(module, 2)
            # A session has one thread for what its poller may not run. When it starts depends
            # on when garbage is collected and how long a transfer takes: so it starts here.
            session._driver._background.submit(gc.collect)
            first = left(local, others)
            proxy.plan = schedule = EveryNth(7, seed=8)
            schedule(proxy.line)
            use(module, 60)
            proxy.plan = None
            proxy.cut()
            assert module.add(1, 2) == 3
            (end,) = local.server._sessions.values()
            assert module.add(1, 2) == 3
            until = time.monotonic() + PATIENCE
            while more(left(local, others), first) and time.monotonic() < until:
                pass
            assert more(left(local, others), first) == {}
            assert schedule.faults > 100
            driver = session._driver
            for side in (driver, end):
                assert len(side._sequence.unacked) <= 2
                side._forget_acknowledged()
                assert len(side._outgoing) <= 1
                assert side._transfers.progress() == []
            assert driver._calls == {}
            assert end._running == {}
            assert not end._queued
    local.settle()
