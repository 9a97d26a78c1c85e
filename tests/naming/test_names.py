"""What is a name and what a URL, where name servers are, and what is wrong with what was given."""

from __future__ import annotations

import pytest

import wsremote
from wsremote.errors import AuthenticationFailed, ConnectionFailed
from wsremote.naming.names import Wanted, name_problem, wanted
from wsremote.naming.nameservers import NameServers, urls_of


@pytest.mark.parametrize("name", ["risk", "9", "a.b-c_d", "R" * 100])
def test_what_is_a_name(name: str) -> None:
    """Letters, digits, and three signs in the middle."""
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "-risk", ".risk", "ri sk", "risk/1", "R" * 101, "rïsk", "risk\n", "risk*"]
)
def test_what_is_none(name: str) -> None:
    """The text says what a name is."""
    assert "1 to 100 of the characters" in str(name_problem(name))


def test_a_host_and_a_port_are_no_name() -> None:
    """The text gives the URL that was meant."""
    with pytest.raises(ConnectionFailed, match="write ws://host:9090"):
        wsremote.connect("host:9090", token="t")


def test_a_secret_in_what_should_be_a_name_is_not_repeated() -> None:
    """It would end up in logs."""
    with pytest.raises(ConnectionFailed, match="holds a secret") as caught:
        wsremote.connect("user:sesame@host", token="t")
    assert "sesame" not in str(caught.value)


def test_a_name_needs_a_name_server() -> None:
    """The text says how to give one."""
    with pytest.raises(ConnectionFailed, match=r"no name server is known.*WSREMOTE_NAMESERVER"):
        wsremote.connect("risk", token="t")
    with pytest.raises(ConnectionFailed, match=r"needed to list servers.*WSREMOTE_NAMESERVER"):
        wsremote.servers(token="t")


def test_a_name_needs_a_token() -> None:
    """One at least, for both the name server and the server."""
    with pytest.raises(AuthenticationFailed, match="WSREMOTE_NAMESERVER_TOKEN"):
        wsremote.connect("risk", nameserver="ws://a")
    with pytest.raises(AuthenticationFailed, match="WSREMOTE_TOKEN"):
        wsremote.connect("risk", nameserver="ws://a", nameserver_token="t")


def test_a_url_where_a_name_should_be() -> None:
    """And the other way round."""
    with pytest.raises(ConnectionFailed, match="is a URL"):
        wsremote.servers("ws://a:9999", token="t")
    with pytest.raises(ConnectionFailed, match="'ns' is not the URL of a name server"):
        wsremote.connect("risk", nameserver="ns", token="t")


@pytest.mark.parametrize("choice", [{"version": "~=1.2"}, {"tags": ["gpu"]}, {"zone": "eu"}])
def test_a_url_leaves_nothing_to_choose(choice: dict[str, object]) -> None:
    """What cannot be kept is not promised."""
    with pytest.raises(ValueError, match="choose among those of a name"):
        wsremote.connect("ws://127.0.0.1:1", token="t", **choice)  # type: ignore[arg-type]


def test_tags_are_several_texts() -> None:
    """One text would be taken apart into its letters."""
    with pytest.raises(TypeError, match=r"write tags=\['…'\]"):
        wsremote.connect("risk", nameserver="ws://a", token="t", tags="gpu")


def test_the_same_question_is_the_same() -> None:
    """Whatever the order of the tags: it is the key of the session that is open already."""
    assert wanted("risk", None, ["b", "a", "b"], None) == Wanted("risk", "", ("a", "b"), "")
    assert wanted("risk", "", ("a", "b"), "") == wanted("risk", None, iter("ab"), None)


@pytest.mark.parametrize(
    "given",
    ["ws://a, wss://B:1 ,", ["ws://a:9999", "wss://b:1"], ("ws://a", "wss://b:1", "ws://a")],
)
def test_several_name_servers(given: object) -> None:
    """With commas or as a sequence; the port is 9999; none counts twice."""
    assert urls_of(given) == ("ws://a:9999", "wss://b:1")  # type: ignore[arg-type]


def test_where_name_servers_and_tokens_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments before the environment, the name server's own token before that of servers."""
    monkeypatch.setenv("WSREMOTE_NAMESERVER", "ws://env")
    monkeypatch.setenv("WSREMOTE_TOKEN", "server's")

    def found(*given: str | None) -> tuple[str, str]:
        nameservers = NameServers.given(*given, purpose="…")  # type: ignore[arg-type]
        return nameservers.urls[0], nameservers.token

    assert found(None, None, None) == ("ws://env:9999", "server's")
    assert found("ws://a", None, "mine") == ("ws://a:9999", "mine")
    monkeypatch.setenv("WSREMOTE_NAMESERVER_TOKEN", "name server's")
    assert found(None, None, "mine") == ("ws://env:9999", "name server's")
    assert found(None, "other", "mine") == ("ws://env:9999", "other")


def test_a_token_is_not_shown() -> None:
    """Name servers appear in messages and logs."""
    assert "sesame" not in repr(NameServers(("ws://a",), "sesame"))


def test_the_last_good_name_server_is_asked_first() -> None:
    """By all that were given the same ones."""
    urls = ("ws://a:1", "ws://b:1", "ws://c:1")
    assert NameServers(urls, "t").in_turn() == [*urls]
    NameServers(urls, "t").has_answered("ws://b:1")
    assert NameServers(urls, "other").in_turn() == ["ws://b:1", "ws://a:1", "ws://c:1"]
