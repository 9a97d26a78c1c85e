"""What a name server answers to clients and servers, over sessions with it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import wsremote
from nameserver import service
from wsremote.errors import (
    AuthenticationFailed,
    CallCancelled,
    LeaseLost,
    NameNotFound,
    NameRefused,
    NameTaken,
)
from wsremote.protocol.proof import ClientProof

from .conftest import ALL, LOAD, LOOKING, RISK, Ask, InProcess, a_record

PATIENCE = 20.0


def test_a_server_is_found_while_its_lease_lasts(ask: Ask) -> None:
    """Registered, renewed with its load, found by all who look, and gone when it says so."""
    server, client = ask(RISK), ask(LOOKING)
    record = a_record(tags=["gpu"])
    lease = server.register(record)
    assert (lease["ttl"], lease["every"]) == (15.0, 5.0)
    server.renew("risk", record["id"], lease["fence"], LOAD)
    (found,) = client.resolve("risk", "~=1.0", ["gpu"])
    assert {name: found[name] for name in record} == record
    assert found["state"] == "ready"
    assert found["load"] == LOAD
    assert found["age"] >= found["heard"] >= 0
    assert "owner" not in found
    assert [each["id"] for each in client.servers("ri")] == [record["id"]]
    assert client.servers("x") == []
    server.deregister("risk", record["id"], lease["fence"])
    server.deregister("risk", record["id"], lease["fence"])
    with pytest.raises(NameNotFound):
        client.resolve("risk")
    with pytest.raises(LeaseLost) as caught:
        server.renew("risk", record["id"], lease["fence"], LOAD)
    assert caught.value.reason in ("unknown", "expired")


def test_answers_are_copies(ask: Ask) -> None:
    """A client that changes what it was given changes nothing at the name server."""
    ask(RISK).register(a_record())
    client = ask(LOOKING)
    for answer in (client.servers(), client.resolve("risk"), next(client.watch())["servers"]):
        assert type(answer) is list and type(answer[0]) is dict
        answer[0]["urls"].append("ws://evil:1")
        answer[0]["packages"]["x"] = "y"
    assert client.servers()[0]["urls"] == ["ws://10.0.0.1:1"]
    assert client.servers()[0]["packages"] == {"riskpkg": "1.2"}


def test_a_token_for_lookups_changes_nothing(ask: Ask) -> None:
    """Each function that changes something refuses it, and says what it takes."""
    lease = ask(RISK).register(a_record())
    client, id = ask(LOOKING), a_record()["id"]
    for change in (
        lambda: client.register(a_record("new", 2)),
        lambda: client.renew("risk", id, lease["fence"], LOAD),
        lambda: client.deregister("risk", id, lease["fence"]),
        lambda: client.drain("risk", id),
        lambda: client.pin({"name": "risk", "url": "ws://evil:1"}),
        lambda: client.unpin("risk", "ws://evil:1"),
    ):
        with pytest.raises(NameRefused):
            change()
    with pytest.raises(NameRefused, match="WSREMOTE_NAMESERVER_TOKEN"):
        client.register(a_record("new", 2))
    assert [each["name"] for each in client.servers()] == ["risk"]


def test_a_token_registers_its_names_only(ask: Ask) -> None:
    """The text says which they are."""
    server = ask(RISK)
    server.register(a_record("risk-eu"))
    with pytest.raises(NameRefused, match=r"may register risk, risk-\*, and not 'price': give"):
        server.register(a_record("price"))
    ask(ALL).register(a_record("price", 2))


def test_a_held_name_cannot_be_taken(ask: Ask) -> None:
    """Not by another token that may register it; nor can its lease be touched with a guess."""
    lease = ask(RISK).register(a_record())
    thief, id = ask(ALL), a_record()["id"]
    with pytest.raises(NameTaken):
        thief.register(a_record(number=2))
    for change in (
        lambda: thief.renew("risk", id, lease["fence"], LOAD),
        lambda: thief.deregister("risk", id, lease["fence"]),
    ):
        with pytest.raises(NameRefused, match="registered with another token"):
            change()
    for change in (
        lambda: thief.drain("risk", id),
        lambda: thief.pin({"name": "risk", "url": "ws://evil:1"}),
        lambda: thief.unpin("risk", "ws://evil:1"),
    ):
        with pytest.raises(NameTaken, match="pin, unpin and drain"):
            change()
    (found,) = ask(LOOKING).servers()
    assert (found["id"], found["state"]) == (id, "ready")


def test_a_stale_fence_renews_nothing(ask: Ask) -> None:
    """A server that was started again at the same URL has its place; the old lease is over."""
    server = ask(RISK)
    old = server.register(a_record(number=1))
    new = server.register(a_record(number=2, urls=a_record(number=1)["urls"]))
    assert new["fence"] > old["fence"]
    with pytest.raises(LeaseLost) as caught:
        server.renew("risk", a_record(number=1)["id"], old["fence"], LOAD)
    assert caught.value.reason == "replaced"
    server.renew("risk", a_record(number=2)["id"], new["fence"], LOAD)


def test_a_draining_server_is_given_to_nobody(ask: Ask) -> None:
    """At once; by its own word, or by who holds the name; until it is taken back."""
    server, client, id = ask(RISK), ask(LOOKING), a_record()["id"]
    lease = server.register(a_record())
    server.drain("risk", id)
    with pytest.raises(NameNotFound, match="drain"):
        client.resolve("risk")
    assert client.servers()[0]["state"] == "draining"
    server.drain("risk", id, False)
    assert len(client.resolve("risk")) == 1
    server.renew("risk", id, lease["fence"], LOAD, "draining")
    with pytest.raises(NameNotFound):
        client.resolve("risk")


def test_pinned_entries_need_no_lease(ask: Ask) -> None:
    """They are found as others are, until they are taken out."""
    ask(RISK).pin({"name": "risk", "url": "ws://old-box:9090", "version": "1.0"})
    (found,) = ask(LOOKING).resolve("risk")
    assert (found["state"], found["urls"]) == ("pinned", ["ws://old-box:9090"])
    assert found["heard"] is None
    assert ask(RISK).unpin("risk", "WS://old-box") is True
    assert ask(RISK).unpin("risk", "ws://old-box:9090") is False
    assert ask(LOOKING).servers() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ns: ns.register({}), "name"),
        (lambda ns: ns.register(7), "record: a dict"),
        (lambda ns: ns.register(a_record("no name")), "no name of a service"),
        (lambda ns: ns.register(a_record(urls=["http://x:1"])), "urls"),
        (lambda ns: ns.register(a_record(capacity=-1)), "capacity"),
        (lambda ns: ns.renew("risk", 7, 1, LOAD), "id: a text"),
        (lambda ns: ns.renew("risk", "a", "1", LOAD), "fence"),
        (lambda ns: ns.renew("risk", "a", -1, LOAD), "fence"),
        (lambda ns: ns.renew("risk", "a", True, LOAD), "fence"),
        (lambda ns: ns.renew("risk", "a", 1, {"cpu": 7}), "cpu"),
        (lambda ns: ns.renew("risk", "a", 1, '{"cpu": 7}'), "cpu"),
        (lambda ns: ns.renew("risk", "a", 1, "[" * 150), "load: .* is no JSON"),
        (lambda ns: ns.renew("risk", "a", 1, "1" * 300), "load: a text of at most"),
        (lambda ns: ns.renew("risk", "a", 1, LOAD, "pinned"), "neither 'ready' nor 'draining'"),
        (lambda ns: ns.renew("risk", "a", 1, LOAD, []), "neither 'ready' nor 'draining'"),
        (lambda ns: ns.deregister("risk", "a", 2**70), "fence"),
        (lambda ns: ns.resolve(["risk"]), "no name of a service"),
        (lambda ns: ns.resolve("risk", 7), "version"),
        (lambda ns: ns.resolve("risk", "1" * 300), "version"),
        (lambda ns: ns.resolve("risk", tags="gpu"), "tags"),
        (lambda ns: ns.resolve("risk", tags=["x"] * 100), "tags"),
        (lambda ns: ns.resolve("risk", tags=[7]), "tags"),
        (lambda ns: ns.resolve("risk", zone=None), "zone"),
        (lambda ns: ns.resolve("risk", n=0), "n: 0"),
        (lambda ns: ns.resolve("risk", n=1000), "n: 1000"),
        (lambda ns: ns.servers("x" * 1000), "prefix"),
        (lambda ns: ns.watch("now"), "since"),
        (lambda ns: ns.watch(prefix=None), "prefix"),
        (lambda ns: ns.drain("risk", "a", "yes"), "draining"),
        (lambda ns: ns.pin({"name": "risk"}), "url"),
        (lambda ns: ns.pin({"name": "risk", "url": "x", "state": "ready"}), "state"),
        (lambda ns: ns.unpin("risk", None), "url"),
    ],
)
def test_bad_input_is_a_clear_error(ask: Ask, call: Any, message: str) -> None:
    """Each value is checked by itself, and the text names it."""
    ask(RISK).register(a_record())
    with pytest.raises(ValueError, match=message):
        call(ask(RISK))


def test_objects_of_a_client_are_not_asked(ask: Ask) -> None:
    """A dict or a str of a class of its own is refused, and none of its methods is called."""
    called: list[str] = []

    class Sly(dict):  # type: ignore[type-arg]
        def get(self, *args: Any) -> Any:
            called.append("get")
            return super().get(*args)

    with pytest.raises(ValueError, match="a dict is expected"):
        ask(RISK).register(Sly(a_record()))
    assert called == []


def test_nothing_else_is_served(ask: Ask) -> None:
    """Not the store, not the tokens, not the modules of the name server."""
    session = ask(LOOKING)
    assert {name for name in dir(session) if not name.startswith("_")} == set(service.SERVED)
    for name in ("start", "stop", "_service", "_running", "service", "access", "current_client"):
        with pytest.raises((AttributeError, PermissionError)):
            getattr(session, name)
    watch = session.watch()
    for name in ("_ringer", "_view", "__dict__", "__init__"):
        with pytest.raises((AttributeError, PermissionError)):
            getattr(watch, name).anything


def test_a_wrong_token_is_let_in_by_nobody(running: InProcess) -> None:
    """As at any server."""
    with pytest.raises(AuthenticationFailed):
        wsremote.connect(running.url, token="guess", new=True)


def test_outside_of_a_session_there_is_nobody_to_check() -> None:
    """Called as a plain function it says that it needs a client."""
    with pytest.raises(RuntimeError, match="no name server runs"):
        service.servers()


# ---- refusals ----------------------------------------------------------------------------


def test_refusals_are_audited_and_logged_once(
    running: InProcess, ask: Ask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All in the audit; the log has a line, and no more for the same within a minute."""
    ask(RISK).register(a_record())
    with caplog.at_level(logging.WARNING, "wsremote.nameserver"):
        for _ in range(5):
            with pytest.raises(NameRefused):
                ask(LOOKING).register(a_record("new"))
        with pytest.raises(NameTaken):
            ask(ALL).register(a_record(number=2))
        with pytest.raises(NameTaken):
            ask(ALL).drain("risk", a_record()["id"])
    lines = [each.message for each in caplog.records if "was refused" in each.message]
    assert len(lines) == 2
    assert ClientProof(LOOKING).key_id in lines[0]
    assert LOOKING not in caplog.text
    running.store.close()
    with sqlite3.connect(tmp_path / "nameserver.sqlite") as database:
        rows = database.execute(
            "SELECT name, owner FROM audit WHERE event = 'refused' ORDER BY number"
        ).fetchall()
    database.close()
    by_whom = ClientProof(LOOKING).key_id, ClientProof(ALL).key_id
    assert rows == [("new", by_whom[0])] * 5 + [("risk", by_whom[1])] * 2


def test_a_drain_is_logged(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """With the token: a server that nobody is sent to is a riddle otherwise."""
    ask(RISK).register(a_record())
    with caplog.at_level(logging.INFO, "wsremote.nameserver"):
        ask(RISK).drain("risk", a_record()["id"])
        ask(RISK).drain("risk", a_record()["id"], False)
    by = f"by token {ClientProof(RISK).key_id}"
    assert [each.getMessage() for each in caplog.records] == [
        f"= the server {a_record()['id']} of the name risk is drained, {by}",
        f"= the server {a_record()['id']} of the name risk is drained no longer, {by}",
    ]


def test_a_refusal_that_goes_on_is_logged_again_with_its_count(
    running: InProcess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute, with how often it came."""
    now = [1000.0]
    monkeypatch.setattr("nameserver.service.time.monotonic", lambda: now[0])
    answers = running.service
    with caplog.at_level(logging.WARNING, "wsremote.nameserver"):
        for at in (1000.0, 1010.0, 1059.0, 1061.0, 1070.0):
            now[0] = at
            with pytest.raises(NameRefused):
                answers.check_may("someone", "risk")
    lines = [each.message for each in caplog.records]
    assert len(lines) == 2
    assert lines[1].endswith("(2 times more since the last such line)")


# ---- watching ----------------------------------------------------------------------------


def waiting(running: InProcess) -> int:
    """How many watches wait."""
    return len(running.service.ringer._bells)


def until_waiting(running: InProcess, number: int = 1) -> None:
    """Return when so many do."""
    while waiting(running) != number:
        pass


def test_a_watch_tells_of_changes_as_they_happen(running: InProcess, ask: Ask) -> None:
    """`for` over the session: everything, then each change; renewals are none."""
    server, client = ask(RISK), ask(LOOKING)
    items: list[Any] = []

    def read() -> None:
        for item in client.watch(prefix="risk"):
            items.append(item)
            if item["kind"] == "gone":
                break

    thread = threading.Thread(target=read)
    thread.start()
    until_waiting(running)
    lease = server.register(a_record())
    server.renew("risk", a_record()["id"], lease["fence"], LOAD)
    server.drain("risk", a_record()["id"])
    server.deregister("risk", a_record()["id"], lease["fence"])
    thread.join(PATIENCE)
    assert [item["kind"] for item in items] == ["all", "registered", "changed", "gone"]
    revisions = [item["revision"] for item in items]
    assert revisions == sorted(set(revisions))
    assert items[1]["server"]["state"] == "ready"
    assert items[2]["server"]["state"] == "draining"


def test_an_interrupted_watch_ends_on_the_server_at_once(running: InProcess, ask: Ask) -> None:
    """Cancelled while it waits in a lock: its thread there is free, and the lane goes on."""
    with running.open(LOOKING) as session:
        watch = session.modules.nameserver.watch()
        next(watch)
        future = session.submit(watch.__next__)
        until_waiting(running)
        began = time.monotonic()
        future.cancel()
        until_waiting(running, 0)
        took = time.monotonic() - began
        assert session.modules.nameserver.servers() == []
    # A bound of the issue, and no figure: without a bell it would take until the next change.
    assert took < 5


def test_a_session_that_ends_takes_its_watches_along(running: InProcess) -> None:
    """Also the ones that wait: the thread on the server ends, with no change needed."""
    session = running.open(LOOKING)
    watch = session.modules.nameserver.watch()
    next(watch)
    future = session.submit(watch.__next__)
    until_waiting(running)
    session.close()
    until_waiting(running, 0)
    with pytest.raises((wsremote.SessionClosed, CallCancelled)):
        future.result(PATIENCE)


def test_a_dropped_watch_is_gone_on_the_server(running: InProcess, ask: Ask) -> None:
    """It was a place in the changes, and nothing else that could be left."""
    client = ask(LOOKING)
    for item in client.watch():
        assert item["kind"] == "all"
        break
    gc.collect()
    client.servers()
    assert waiting(running) == 0
    (session,) = running.server._sessions.values()
    while len(session.lending.handles):  # type: ignore[union-attr]
        client.servers()


async def test_a_watch_is_awaited_beside_other_calls(running: InProcess, ask: Ask) -> None:
    """`async for` holds up nothing else of its session; cancelled, it ends on the server."""
    server = ask(RISK)
    async with wsremote.connect_async(running.url, token=LOOKING) as session:
        module = session.modules.nameserver
        items: list[Any] = []
        arrived = asyncio.Event()

        async def follow() -> None:
            async for item in await module.watch():
                items.append(item)
                if len(items) == 2:
                    arrived.set()

        task = asyncio.create_task(follow())
        await asyncio.to_thread(until_waiting, running)
        assert await module.servers() == []
        await asyncio.to_thread(server.register, a_record())
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until_waiting, running, 0)
        assert [item["kind"] for item in items] == ["all", "registered"]
        assert len(await module.servers()) == 1
