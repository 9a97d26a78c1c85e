"""Name servers that lie, and servers that are not what a name server says: in real processes."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from faults.proxy import FaultProxy
from harness import Serve, ServedProcess

import wsremote
from wsremote.cli.listing import ls
from wsremote.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    NameNotFound,
    NameRefused,
    NameTaken,
)
from wsremote.naming.asking import NameServer
from wsremote.printable import kind_of

from .conftest import Say


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def babbling() -> Iterator[str]:
    """A port where something answers that is no wsremote server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock:
                        sock.recv(65536)
                        sock.sendall(b"220 mail.example ESMTP ready\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def nobody() -> str:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"ws://127.0.0.1:{free.getsockname()[1]}"


def by_name(lying: ServedProcess, timeout: float = 10.0) -> wsremote.Session:
    """A session of its own with a server of the name."""
    return wsremote.connect(
        "risk", token=lying.token, nameserver=lying.url, new=True, timeout=timeout
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_server_with_another_token_is_refused_and_the_next_tried(
    lying: ServedProcess, right: ServedProcess, serve: Serve, say: Say,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It cannot prove that it is of those who know the token: nothing is sent to it."""
    impostor = serve("json", token="of an impostor")
    say(impostor.url, right.url)
    with by_name(lying) as session:
        assert session.url == right.url
        assert session.modules.json.dumps([1]) == "[1]"
    (warning,) = warnings(caplog)
    assert re.search(f"risk: {impostor.url} cannot be used: .*; trying {right.url}", warning)
    say(impostor.url)
    with pytest.raises(AuthenticationFailed, match=f"the server of risk.*{impostor.url}"):
        by_name(lying)


def test_what_is_no_wsremote_server_is_passed_over(
    lying: ServedProcess, right: ServedProcess, say: Say, babbling: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Each with what is there, and which is tried next."""
    dead = nobody()
    say(babbling, dead, right.url)
    with by_name(lying) as session:
        assert session.url == right.url
    first, second = warnings(caplog)
    assert "is no wsremote server" in first and first.endswith(f"; trying {dead}")
    assert "Nothing listens" in second and second.endswith(f"; trying {right.url}")


def test_a_silent_server_leaves_time_for_the_next(
    lying: ServedProcess, right: ServedProcess, say: Say, silent: str
) -> None:
    """It has its share of the timeout, not all."""
    say(silent, right.url)
    with by_name(lying, timeout=2.0) as session:
        assert session.url == right.url


def test_if_none_can_be_used_all_are_named(
    lying: ServedProcess, say: Say, babbling: str, serve: Serve
) -> None:
    """With the reason of each."""
    impostor, dead = serve("json", token="of an impostor").url, nobody()
    say(babbling, dead, impostor)
    with pytest.raises(ConnectionFailed) as caught:
        by_name(lying)
    assert not isinstance(caught.value, AuthenticationFailed)
    text = str(caught.value)
    assert text.startswith("none of the 3 servers of risk can be used: ")
    assert all(url in text for url in (babbling, dead, impostor))


@pytest.mark.parametrize(
    "answer",
    [
        "None",
        "'ws://a:1'",
        "{}",
        "[]",
        "[1, None, 'x', [], {}]",
        "Strange()",
        "(each for each in range(3))",
        "[Strange()] * 3",
        "[{'name': Strange(), 'id': '1', 'urls': ['ws://a:1']}]",
        "[{'name': 'risk', 'id': '1', 'urls': [Strange()]}]",
        "[{'name': 'other', 'id': '1', 'urls': ['ws://a:1']}]",
        "[{'name': 'risk', 'id': '1', 'urls': ['file:///etc/passwd']}]",
        "[{'name': 'risk', 'id': '\\x1b[2J', 'urls': ['ws://a:1']}]",
        "[[[[[[[]]]]]]]",
        "fail(KeyError('x'))",
        "fail(Strange())",
        "fail(SystemExit(3))",
        "fail(wsremote.errors.SessionClosed('fooled you'))",
        "fail(wsremote.errors.DecodeError('fooled you'))",
        "fail(ExceptionGroup('many', [OSError()]))",
    ],
)
def test_answers_that_make_no_sense(lying: ServedProcess, say: Say, answer: str) -> None:
    """No crash and no other error: the name server is named, in one line that can be printed."""
    say(answer)
    with pytest.raises(ConnectionFailed, match=f"the name server {lying.url}") as caught:
        by_name(lying)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        "SlowDict(RISK)",
        "[SlowDict(RISK)]",
        "SlowList([RISK])",
        "Slow()",
        "[Slow()]",
        "[dict(RISK, urls=SlowList())]",
        "[dict(RISK, packages=SlowDict())]",
        "[dict(RISK, load=SlowDict())]",
        "[{**RISK, 'name': Slow()}]",
        "[{**RISK, 'name': Text('risk')}]",
        "[{**RISK, 'state': Slow()}]",
        "fail(wsremote.errors.NameNotFound(Slow()))",
        "fail(OSError(Slow(), Slow()))",
        "fail(wsremote.errors.LeaseLost('x', Slow()))",
        "fail(GeneratorExit())",
        "fail(__import__('asyncio').CancelledError())",
    ],
)
def test_what_it_gives_is_not_asked(lying: ServedProcess, say: Say, answer: str) -> None:
    """A proxy of its objects would call back to it, for as long as it likes."""
    say(answer)
    for ask in (
        lambda: by_name(lying, timeout=2.0),
        lambda: wsremote.servers(nameserver=lying.url, token=lying.token, timeout=2.0),
    ):
        with pytest.raises((ConnectionFailed, AssertionError)) as caught:
            assert ask() == [], "every record was left out"
            raise AssertionError
        assert str(caught.value).isprintable()


def test_a_proxy_is_called_one(
    lying: ServedProcess, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """It has the name of the class that it stands for."""
    say("[RISK]")
    with pytest.raises(ConnectionFailed):
        by_name(lying)
    assert "it is a proxy of a dict, not a dict" in caplog.text
    assert kind_of([]) == "a list" and kind_of(7) == "an int"
    assert kind_of(type("dict", (), {})()) == "a proxy of a dict"


def test_what_it_says_is_only_text(lying: ServedProcess, say: Say) -> None:
    """Its errors are made anew here, without what could do harm on a terminal."""
    say("fail(wsremote.errors.NameNotFound('no risk\\n\\x1b[31mhere' + 'x' * 10000))")
    with pytest.raises(NameNotFound) as caught:
        by_name(lying)
    text = str(caught.value)
    assert text.startswith("no risk ?[31mherex") and text.isprintable() and len(text) <= 2000


def test_a_name_server_that_hangs_is_given_up(
    lying: ServedProcess, right: ServedProcess, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """After its part of the timeout; what it has said before it hung is remembered."""
    say(right.url)
    by_name(lying).close()
    say("time.sleep(30)")
    with by_name(lying, timeout=1.0) as session:
        assert session.url == right.url
    assert "did not answer within" in warnings(caplog)[-1]


def test_what_it_prints_is_not_shown(
    lying: ServedProcess, right: ServedProcess, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could move the cursor, and is no output of the user's."""
    record = {"name": "risk", "id": "1", "urls": [right.url], "state": "pinned"}
    say(f"(print('\\x1b[2Jhere'), __import__('warnings').warn('there'), [{record!r}])[-1]")
    by_name(lying).close()
    assert capsys.readouterr() == ("", "")


def test_one_that_hangs_keeps_nobody_from_another_server(
    lying: ServedProcess, right: ServedProcess, say: Say
) -> None:
    """A session with a server whose URL is known opens meanwhile."""
    asked = lying.errors.parent / "hangs"
    say(f"(Path({str(asked)!r}).touch(), time.sleep(40))")
    failures: list[Exception] = []

    def look_up() -> None:
        try:
            wsremote.connect("risk", token=lying.token, nameserver=lying.url, timeout=6.0)
        except ConnectionFailed as error:
            failures.append(error)

    thread = threading.Thread(target=look_up)
    thread.start()
    while not asked.exists():
        pass
    wsremote.connect(right.url, token=right.token).close()
    assert thread.is_alive() and not failures
    say()
    thread.join()
    assert "did not answer within" in str(failures[0])


def with_three_before(url: str) -> list[dict[str, Any]]:
    """What a name server has of four servers, of which only the last is there."""
    return [
        {"name": "risk", "id": str(number), "urls": [each], "state": "pinned"}
        for number, each in enumerate([nobody(), nobody(), nobody(), url])
    ]


def test_no_more_servers_are_tried_than_were_asked_for(
    lying: ServedProcess, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """Three, and 16 when these are of no use; five thousand made-up ones are not."""
    records = with_three_before(nobody())
    say(f"{records!r} * 1000 + [dict(RISK, urls=[f'ws://127.0.0.1:{{n}}']) for n in range(1, 999)]")
    with pytest.raises(ConnectionFailed, match="none of the 4 servers") as caught:
        by_name(lying)
    assert len(str(caught.value)) < 4500
    assert len(warnings(caplog)) == 4


@pytest.mark.parametrize("most", [3, 5000])
def test_bad_records_are_said_of_a_few(
    lying: ServedProcess, say: Say, caplog: pytest.LogCaptureFixture, most: int
) -> None:
    """And how many more there are."""
    good = {"name": "risk", "id": "1", "urls": [nobody()]}
    say(f"[{good!r}] + [{{'name': 'no name'}}] * {most}")
    (server,) = wsremote.servers(nameserver=lying.url, token=lying.token)
    assert server.name == "risk"
    lines = [line for line in warnings(caplog) if "left out" in line]
    assert len(lines) == (3 if most == 3 else 4)
    assert most == 3 or f"gave {most - 3} more that are left out" in lines[-1]


def test_a_list_that_cannot_be_read_is_not_an_empty_one(lying: ServedProcess, say: Say) -> None:
    """Nobody is told that no server has a name."""
    for answer, begin in (("[{'name': 'no name'}] * 9", "What the name server gave"), ("[]", "No")):
        say(answer)
        done = CliRunner().invoke(ls, ["--nameserver", lying.url, "--token", lying.token])
        assert done.stdout.startswith(begin)


def test_if_the_first_few_cannot_be_used_others_are_asked_for(
    lying: ServedProcess, right: ServedProcess, say: Say
) -> None:
    """A name server gives three at first: all of them may be full."""
    records = with_three_before(right.url)
    say(f"{records!r}[:n]")
    with by_name(lying) as session:
        assert session.url == right.url
    say(f"{records[:3]!r}[:n]")
    with pytest.raises(ConnectionFailed, match="none of the 3 servers"):
        by_name(lying)


async def test_others_are_asked_for_in_a_loop_too(
    lying: ServedProcess, right: ServedProcess, say: Say
) -> None:
    """The same look-up."""
    say(f"{with_three_before(right.url)!r}[:n]")
    connecting = wsremote.connect_async("risk", token=lying.token, nameserver=lying.url)
    async with connecting as session:
        assert session.url == right.url


def test_a_connection_that_is_lost_is_not_waited_for(lying: ServedProcess, say: Say) -> None:
    """The session would resume some time; another name server may answer now."""
    say()
    with FaultProxy(lying.url) as proxy:
        asked = NameServer(proxy.url, lying.token, ssl_context=None, timeout=10.0)
        assert asked.call("resolve", "risk", timeout=10.0) == []
        with proxy.outage():
            while asked.connected:
                pass
            with pytest.raises(ConnectionFailed, match=f"{proxy.url} was lost"):
                asked.call("resolve", "risk", timeout=10.0)
            asked.close()


@pytest.mark.parametrize("kind", [NameTaken, NameRefused])
def test_a_refusal_says_whose_it_is(lying: ServedProcess, say: Say, kind: type[Exception]) -> None:
    """There may be several name servers, of which one has other tokens."""
    say(f"fail(wsremote.errors.{kind.__name__}('not you'))")
    with NameServer(lying.url, lying.token, ssl_context=None, timeout=10.0) as asked:
        with pytest.raises(kind, match=f"^the name server {lying.url}: not you$"):
            asked.call("resolve", "risk", timeout=10.0)


def test_another_server_is_no_name_server(right: ServedProcess) -> None:
    """The URL of a server where that of the name server should be."""
    with pytest.raises(ConnectionFailed, match="is no name server: it serves json"):
        wsremote.connect("risk", token=right.token, nameserver=right.url)
    with pytest.raises(ConnectionFailed, match="is no name server: it serves json"):
        wsremote.servers(token=right.token, nameserver=right.url)


def test_a_name_server_with_another_token_is_an_impostor(lying: ServedProcess) -> None:
    """It is not even asked. Where it was shown the servers' token, that is said."""
    for given, is_shared in (({"nameserver_token": "another"}, False), ({}, True)):
        with pytest.raises(AuthenticationFailed) as caught:
            wsremote.connect("risk", token="of the servers", nameserver=lying.url, **given)
        text = str(caught.value)
        assert text.startswith(f"the name server {lying.url}: it did not prove that it knows the")
        assert text.count(lying.url) == 1
        assert "nameserver_token=…, --nameserver-token or WSREMOTE_NAMESERVER_TOKEN" in text
        assert ("It was shown the token of the servers" in text) == is_shared


def test_the_list_is_not_trusted_either(
    lying: ServedProcess, right: ServedProcess, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong record is left out."""
    say({"name": "\x1b[2J", "id": "1", "urls": ["ws://a:1"]}, right.url)
    (server,) = wsremote.servers(nameserver=lying.url, token=lying.token)
    assert server.urls == (right.url,)
    assert "left out: name" in warnings(caplog)[0]


def test_what_is_remembered_is_not_trusted(
    lying: ServedProcess, right: ServedProcess, serve: Serve, say: Say, tmp_path: Path
) -> None:
    """A file that leads to an impostor leads to a refusal."""
    impostor = serve("json", token="of an impostor")
    say(right.url)
    by_name(lying).close()
    folder = Path(os.environ["WSREMOTE_CACHE"]) / "names-1"
    (file,) = folder.iterdir()
    file.write_text(file.read_text().replace(right.url, impostor.url))
    say("fail(OSError('down'))")
    with pytest.raises(AuthenticationFailed, match=impostor.url):
        by_name(lying)
