"""Output of calls that go on without a connection is bounded, and says where some is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faults.background import Begin
from faults.proxy import PATIENCE, FaultProxy
from harness import Serve

import wsremote

FOLDER = Path(__file__).parent


def test_the_latest_output_is_kept_with_a_mark_where_some_is_missing(
    serve: Serve, begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result arrives; of the output no more than the bound was kept, its end."""
    served = serve("steady", "--max-detached-output", "1000", path=(FOLDER,))
    with (
        FaultProxy(served.url) as proxy,
        wsremote.connect(proxy.url, token=served.token, new=True) as session,
        wsremote.connect(served.url, token=served.token, new=True) as other,
    ):
        direct = other.modules.steady
        running = begin(session.modules.steady.talk, "much", 2000)
        assert direct.wait_for_somebody("much")
        with proxy.outage():
            assert direct.await_lonely()
            direct.open_door("much")
            assert direct.await_answers()
        assert running.result(PATIENCE) == "much"
    out, err = capsys.readouterr()
    lines = out.splitlines()
    # What was on its way when the connection was lost, and the end of what came then.
    before = next(index for index, line in enumerate(lines) if line != f"much {index}")
    after = len(lines) - before
    assert before <= 1000
    assert lines[before:] == [f"much {number}" for number in range(2000 - after, 2000)]
    assert 50 < after <= 100
    mark = re.search(r"\[(\d+) characters were printed without a connection and dropped\]", err)
    assert mark is not None
    whole = sum(len(f"much {number}\n") for number in range(2000))
    assert len(out) + int(mark[1]) == whole
