"""Calls that are given up while there is no connection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faults.background import Begin
from faults.ending import has_noticed
from faults.proxy import PATIENCE, FaultProxy

import wsremote
from wsremote.errors import CallTimeout
from wsremote.protocol.messages import Op


def test_a_timeout_without_a_connection_says_that_nothing_ran(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direct: Any
) -> None:
    """The call is withdrawn: it is not executed later either."""
    counter = pkg.Counter()
    with proxy.outage():
        has_noticed(remote)
        with pytest.raises(CallTimeout, match="never started"), remote.timeout(0.05):
            counter.step()
        with pytest.raises(CallTimeout, match="never started"), remote.timeout(0.05):
            pkg.note("withdrawn")
    assert counter.step() == 1
    assert direct.times("withdrawn") == 0


def test_what_is_let_go_of_with_a_call_that_is_withdrawn_is_let_go_of(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direct: Any
) -> None:
    """The release is in one message with the call, and stays when that goes."""
    counter, dropped = pkg.Counter(), pkg.Counter()
    (there,) = [handle for handle in (remote._driver.lending.borrowed(dropped),) if handle]
    with proxy.outage():
        has_noticed(remote)
        del dropped
        with pytest.raises(CallTimeout, match="never started"), remote.timeout(0.05):
            pkg.note("withdrawn, with a release")
    assert counter.step() == 1
    assert direct.times("withdrawn, with a release") == 0
    with pytest.raises(wsremote.StaleHandle):
        remote._driver._execute(int(Op.METHOD), there, "step", (), None)


def test_arguments_of_a_call_that_waits_may_change_when_it_is_given_up(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direct: Any, begin: Begin
) -> None:
    """What is sent afterwards is what they were."""
    array = np.ones(100_000)
    before = direct.times("total")
    with proxy.outage():
        has_noticed(remote)
        with pytest.raises(CallTimeout), remote.timeout(0.05):
            pkg.total(array)
        array[:] = 7
    assert pkg.total(array) == 700_000
    # At most what was withdrawn: never the old call with new numbers.
    assert direct.times("total") <= before + 2


def test_what_threads_leave_behind_is_told_later(
    proxy: FaultProxy, remote: wsremote.Session, pkg: Any, direct: Any, begin: Begin
) -> None:
    """The lanes of threads that ended during an outage end on the server, too."""
    before = direct.threads_of_calls()
    with proxy.outage():
        has_noticed(remote)
        waiting = [begin(pkg.add, number) for number in range(10)]
    assert [each.result(PATIENCE) for each in waiting] == list(range(1, 11))
    assert pkg.add(1) == 2
    assert direct.wait_for_threads_of_calls(before + 1)
