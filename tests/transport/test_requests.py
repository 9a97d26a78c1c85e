"""What a server answers to HTTP requests on its port."""

from __future__ import annotations

import ast
import base64
import inspect
import logging

import pytest
from websockets.http11 import Request, Response

from wsremote.transport.requests import (
    Page,
    RequestRules,
    answer,
    answer_to_garbage,
    bearer_check,
    looks_like_tls,
    new_server_protocol,
    own_names,
)

TOKEN = "s3cret-token"
RULES = RequestRules(
    pages={
        "/info.json": lambda request: Page(200, "application/json", b'{"packages": []}'),
        "/broken": lambda request: Page(200, "text/plain", bytes([1 // 0])),
    },
    bearer=bearer_check(TOKEN),
)
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==",
    "Sec-WebSocket-Version: 13",
)


def ask(
    *headers: str,
    path: str = "/",
    method: str = "GET",
    host: str | None = "127.0.0.1:9090",
    rules: RequestRules = RULES,
) -> Response:
    """Send one request, as bytes, through the library's parser to the rules."""
    protocol = new_server_protocol(max_size=1000)
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else [])]
    protocol.receive_data("\r\n".join([*lines, *headers, "", ""]).encode("latin-1"))
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    response = answer(protocol, request, rules)
    protocol.send_response(response)
    assert protocol.data_to_send()
    return response


def encoded(pair: str) -> str:
    """A user and a password as Basic writes them."""
    return base64.b64encode(pair.encode()).decode()


def text_of(response: Response) -> str:
    return bytes(response.body).decode()


def test_a_native_client_gets_its_websocket() -> None:
    """An upgrade at / without Origin is accepted, with no extension."""
    response = ask(*UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate")
    assert response.status_code == 101
    assert "Sec-WebSocket-Extensions" not in response.headers


@pytest.mark.parametrize("path", ["/ws", "/info.json", "/healthz", "//"])
def test_a_websocket_is_at_the_root_only(path: str) -> None:
    """An upgrade at any other path is refused, that of a page included."""
    response = ask(*UPGRADE, path=path)
    assert response.status_code == 404
    assert text_of(response) == f"There is no WebSocket at '{path}'. Connect to /.\n"


def test_a_websocket_has_no_query() -> None:
    """An upgrade with any query is refused: a typo should not pass for an option."""
    assert ask(*UPGRADE, path="/?compress=1").status_code == 400


def test_a_malformed_upgrade_is_refused() -> None:
    """An upgrade without its key is 400; the library names what is missing."""
    response = ask(*UPGRADE[:2])
    assert response.status_code == 400
    assert "Sec-WebSocket-Key" in text_of(response)


def test_health_needs_no_token() -> None:
    """GET /healthz says ok to everyone who may reach the port."""
    response = ask(path="/healthz")
    assert (response.status_code, response.body) == (200, b"ok")
    assert ask(path="/healthz?probe=1").status_code == 200


def test_head_gets_the_headers_of_get() -> None:
    """HEAD, as load balancers send it, has the length and no body."""
    response = ask(path="/healthz", method="HEAD")
    assert (response.status_code, response.body) == (200, b"")
    assert response.headers["Content-Length"] == "2"


def test_a_browser_at_the_root_learns_how_to_connect() -> None:
    """A plain GET / names the product, the lines to paste and no secret."""
    response = ask(host="localhost:1234")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert text_of(response) == (
        "This is a wsremote server: it makes Python packages usable from another machine.\n"
        "It speaks WebSocket. In Python:\n"
        "\n"
        "    import wsremote\n"
        '    session = wsremote.connect("ws://localhost:1234", token="...")\n'
        "\n"
        "Whoever started the server has the token.\n"
    )
    assert "wss://localhost" in text_of(ask(host="localhost", rules=RequestRules(secure=True)))


def test_a_page_opens_with_the_bearer_token() -> None:
    """A page of the rules is given to those who bring the token."""
    response = ask(f"Authorization: Bearer {TOKEN}", path="/info.json?pretty=1")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Length"] == str(len(response.body))
    assert response.headers["Cache-Control"] == "no-store"
    assert response.body == b'{"packages": []}'
    assert ask(f"authorization: bearer  {TOKEN}", path="/info.json").status_code == 200


def test_a_page_without_token_says_how() -> None:
    """Without a token a page is 401 and its text is the command that works."""
    response = ask(path="/info.json")
    assert response.status_code == 401
    bearer, basic = response.headers.get_all("WWW-Authenticate")
    assert bearer.startswith("Bearer ")
    assert basic.startswith("Basic ")
    assert text_of(response) == (
        'This page needs the token. Send the header "Authorization: Bearer TOKEN", for example:\n'
        '    curl -H "Authorization: Bearer $WSREMOTE_TOKEN" http://127.0.0.1:9090/info.json\n'
    )


@pytest.mark.parametrize(
    "value",
    [
        "Bearer wrong",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        "Basic",
        f"Basic {encoded(TOKEN)}",
        f"Basic {encoded(TOKEN + ':')}",
        f"Basic {encoded(':' + TOKEN + ':')}",
        f"Basic {encoded('user:wrong')}",
        f"Basic {encoded(':' + TOKEN)[:-2]}",
        f"Basic {encoded(':' + TOKEN)} x",
        "Basic /w==",
        f"Digest {encoded(':' + TOKEN)}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xff\xfe",
    ],
)
def test_a_wrong_token_opens_nothing(value: str) -> None:
    """Anything but the token itself is 401, and is not repeated."""
    response = ask(f"Authorization: {value}", path="/info.json")
    assert response.status_code == 401
    assert text_of(response).startswith("The token is not the one of this server.")
    assert TOKEN not in text_of(response)
    assert "wrong" not in text_of(response)


def test_two_tokens_are_no_token() -> None:
    """Two Authorization headers are refused, though one is right."""
    headers = ("Authorization: Bearer wrong", f"Authorization: Bearer {TOKEN}")
    assert ask(*headers, path="/info.json").status_code == 401


def test_without_a_check_no_page_opens() -> None:
    """Rules that were given no check let nobody in."""
    rules = RequestRules(pages=RULES.pages)
    assert ask("Authorization: Bearer ", path="/info.json", rules=rules).status_code == 401


@pytest.mark.parametrize("pair", [f"x:{TOKEN}", f":{TOKEN}", f"ü ser:{TOKEN}"])
def test_a_page_opens_with_the_token_as_a_password(pair: str) -> None:
    """As a browser sends it when it has asked its user; the user's name says nothing."""
    response = ask(f"Authorization: Basic {encoded(pair)}", path="/info.json")
    assert response.status_code == 200


def test_a_page_may_stand_at_the_root() -> None:
    """It needs the token as any page; the WebSocket is there all the same."""
    page = Page(200, "text/html", b"<p>", {"Content-Security-Policy": "default-src 'none'"})
    rules = RequestRules(pages={"/": lambda request: page}, bearer=bearer_check(TOKEN))
    assert ask(rules=rules).status_code == 401
    response = ask(f"Authorization: Bearer {TOKEN}", rules=rules)
    assert response.body == b"<p>"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(*UPGRADE, rules=rules).status_code == 101
    assert text_of(ask(path="/nowhere", rules=rules)).endswith("There are: /, /healthz\n")


def test_what_is_wrong_is_told_to_who_asks_for_the_health() -> None:
    """503, and why, in one line; a check that fails is no health."""
    rules = RequestRules(health=lambda: "the store is down")
    response = ask(path="/healthz", rules=rules)
    assert (response.status_code, text_of(response)) == (503, "the store is down\n")
    broken = RequestRules(health=lambda: str(1 // 0))
    assert ask(path="/healthz", rules=broken).status_code == 503


def test_each_of_several_tokens_opens_a_page() -> None:
    """The first, the last, and nothing else."""
    rules = RequestRules(pages=RULES.pages, bearer=bearer_check("first", TOKEN, "last"))
    for token, status in [("first", 200), (TOKEN, 200), ("last", 200), ("firstlast", 401)]:
        response = ask(f"Authorization: Bearer {token}", path="/info.json", rules=rules)
        assert response.status_code == status


def test_tokens_are_compared_in_constant_time() -> None:
    """The token meets `hmac.compare_digest` on digests and no `==`; none ends the look at all."""
    tree = ast.parse(inspect.getsource(bearer_check))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert "hmac.compare_digest" in calls
    assert calls.count("hashlib.sha256") == 2
    compared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert all(text.startswith("sum([") and text.endswith("]) > 0") for text in compared)
    assert "any(" not in ast.unparse(tree)


@pytest.mark.parametrize("path", ["/?token=abc", "/info.json?Access_Token=abc", "/?x=1&%74oken="])
@pytest.mark.parametrize("headers", [(), UPGRADE])
def test_a_token_in_the_url_is_refused(path: str, headers: tuple[str, ...]) -> None:
    """A query with a token is refused whatever it asks for, with the way that is right."""
    response = ask(*headers, path=path)
    assert response.status_code == 400
    assert text_of(response).startswith("A token never goes into a URL")
    assert "abc" not in text_of(response)


def test_no_log_holds_a_token(caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged at DEBUG, neither a right nor a wrong token is in the log."""
    caplog.set_level(logging.DEBUG)
    ask(f"Authorization: Bearer {TOKEN}", path="/info.json")
    ask(f"Authorization: Bearer {TOKEN}", path="/info.json", host="evil.example")
    ask(path=f"/?token={TOKEN}")
    ask(*UPGRADE, f"Authorization: Bearer {TOKEN}")
    assert caplog.records
    assert TOKEN not in caplog.text


def test_a_failing_page_keeps_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """A page function that raises is 500 for the client, and a traceback in the log."""
    response = ask(f"Authorization: Bearer {TOKEN}", path="/broken")
    assert response.status_code == 500
    assert "ZeroDivisionError" not in text_of(response)
    assert "ZeroDivisionError" in caplog.text


def test_an_unknown_page_names_the_known_ones() -> None:
    """404 lists what there is and shows the path only in ASCII."""
    response = ask(path="/\x1b[31m/../etc")
    assert response.status_code == 404
    assert text_of(response) == (
        r"There is no page '/\x1b[31m/../etc'. There are: /, /healthz, /broken, /info.json" + "\n"
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:9090",
        "127.0.0.1",
        "127.8.9.10:1",
        "localhost",
        "LocalHost:80",
        "localhost.",
        "localhost.:9090",
        "[::1]",
        "[::1]:9090",
        "[0:0:0:0:0:0:0:1]",
        "127.0.0.1:",
    ],
)
def test_loopback_hosts_are_ours(host: str) -> None:
    """Every spelling of loopback passes, whatever its port."""
    assert ask(host=host).status_code == 200
    assert ask(*UPGRADE, host=host).status_code == 101


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.com",
        "127.0.0.1.nip.io",
        "127.0.0.1.nip.io:9090",
        "localhost..",
        "evil.example.",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost:9090:9090",
        "localhost:http",
        "localhost:123456",
        "::1",
        "[::1",
        "[::2]",
        "192.168.1.5",
        "0.0.0.0:9090",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[evil.example]",
        "l\xf6calhost",
        "localhost, evil.example",
        "",
    ],
)
@pytest.mark.parametrize("headers", [(), UPGRADE])
def test_foreign_hosts_are_refused(host: str, headers: tuple[str, ...]) -> None:
    """A name that an attacker's DNS may point here gets 403, for pages and WebSockets alike."""
    response = ask(*headers, host=host, path="/" if headers else "/healthz")
    assert response.status_code == 403
    assert text_of(response) == (
        f"This server is not called {host!a}. If it should be, start it with --allow-host NAME.\n"
    )


def test_there_is_exactly_one_host() -> None:
    """No Host, or two of them, even the same twice, is 400."""
    assert ask(host=None).status_code == 400
    assert ask("Host: 127.0.0.1").status_code == 400
    assert ask("Host: evil.example").status_code == 400


def test_allowed_and_bound_hosts_pass() -> None:
    """The bind address and the names of --allow-host are let in, and no others."""
    rules = RequestRules(host="10.0.0.7", allowed_hosts=frozenset({"Risk", "10.0.0.8", "fe80::1"}))
    for host in ("risk:9090", "10.0.0.7", "10.0.0.8:80", "[fe80::1]", "localhost"):
        assert ask(host=host, rules=rules).status_code == 200
    for host in ("risk.evil.example", "10.0.0.9"):
        assert ask(host=host, rules=rules).status_code == 403


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_a_server_on_all_addresses_takes_any_address_but_no_name(bound: str) -> None:
    """DNS rebinding needs a name: on all addresses an IP literal passes, a name does not."""
    rules = RequestRules(host=bound)
    assert ask(host="192.168.1.5:9090", rules=rules).status_code == 200
    assert ask(host="[fe80::2]", rules=rules).status_code == 200
    assert ask(host="evil.example", rules=rules).status_code == 403


def test_own_names_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a server on all addresses is called by the machine's name, long and short."""
    monkeypatch.setattr("socket.gethostname", lambda: "Risk.lab.example")
    assert own_names("0.0.0.0") == {"risk.lab.example", "risk"}
    assert own_names("127.0.0.1") == frozenset()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8888", "http://127.0.0.1:9090", ""]
)
@pytest.mark.parametrize("headers", [(), UPGRADE])
def test_web_pages_are_refused(origin: str, headers: tuple[str, ...]) -> None:
    """Any Origin is 403 by default, also that of a page on this machine."""
    response = ask(*headers, f"Origin: {origin}")
    assert response.status_code == 403
    assert text_of(response) == (
        f"Web pages of {origin!a} may not use this server. If they should, start it with"
        " --allow-origin ORIGIN.\n"
    )


def test_allowed_origins_pass() -> None:
    """The origins of --allow-origin pass, whole and alone."""
    rules = RequestRules(allowed_origins=frozenset({"https://Lab.example/"}))
    assert ask(*UPGRADE, "Origin: https://lab.example", rules=rules).status_code == 101
    assert ask(*UPGRADE, "Origin: https://lab.example.evil", rules=rules).status_code == 403
    assert ask(*UPGRADE, "Origin: http://lab.example", rules=rules).status_code == 403
    twice = ("Origin: https://lab.example", "Origin: https://lab.example")
    assert ask(*UPGRADE, *twice, rules=rules).status_code == 400
    mixed = ("Origin: https://lab.example", "Origin: https://evil.example")
    assert ask(*mixed, path="/healthz", rules=rules).status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "BREW"])
def test_only_get_is_answered(method: str) -> None:
    """Other methods are 405 and learn what is allowed."""
    for headers in ((), UPGRADE):
        response = ask(*headers, method=method)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"


def test_the_server_is_no_proxy() -> None:
    """A request for an absolute URL is refused."""
    assert ask(path="http://127.0.0.1:9090/healthz").status_code == 400


def test_tls_at_a_plain_port_is_recognised() -> None:
    """The first bytes of a TLS client are told from those of an HTTP client."""
    assert looks_like_tls(b"\x16\x03\x01\x02\x00\x01")
    assert not looks_like_tls(b"GET / HTTP/1.1\r\n")
    assert not looks_like_tls(b"")


def test_what_is_no_request_gets_an_answer_too() -> None:
    """The library gives up a request with a body without a word; ours is a whole response."""
    protocol = new_server_protocol(max_size=1000)
    protocol.receive_data(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=1")
    assert protocol.events_received() == []
    assert b"".join(protocol.data_to_send()) == b""
    head, _, body = answer_to_garbage().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
