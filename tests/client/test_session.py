"""A session that is never finished: interrupted, or ended by the server, while it is opened."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from local_server import TOKEN, serving

from wsremote.client import session as module
from wsremote.client.session import Session


def test_an_interrupt_in_the_middle_leaves_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has it, so nobody would ever end it."""

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    for step in ("Resumer", "Driver", "receive_tree", "ShallowPackage", "Modules"):
        with serving(tmp_path) as local, monkeypatch.context() as patch:
            patch.setattr(module, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                Session(local.url, TOKEN)
            local.settle()


def test_a_server_that_ends_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The goodbye comes before the shallow package is there: the session is over, and no more."""
    with serving(tmp_path) as local, monkeypatch.context() as patch:
        make = module.ShallowPackage

        def late(driver: Any, tree: Any) -> Any:
            local.server.close()
            while not driver.closed:
                pass
            return make(driver, tree)

        patch.setattr(module, "ShallowPackage", late)
        assert Session(local.url, TOKEN).closed
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
