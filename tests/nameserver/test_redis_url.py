"""What `--store redis://…` may say."""

from __future__ import annotations

import pytest

from nameserver.redis_link import Link
from nameserver.redis_url import read_url

SECRET = "sesame"


@pytest.mark.parametrize(
    ("url", "address", "database"),
    [
        ("redis://host", "redis://host:6379/0", 0),
        ("redis://host/", "redis://host:6379/0", 0),
        ("redis://host:1234/7", "redis://host:1234/7", 7),
        ("redis://host?db=7", "redis://host:6379/7", 7),
        ("redis://[::1]:1234/1", "redis://::1:1234/1", 1),
        (f"redis://:{SECRET}@host/2?socket_timeout=1", "redis://host:6379/2", 2),
        (f"redis://me:{SECRET}%2F%23@host/2", "redis://host:6379/2", 2),
        ("rediss://host:6380/0?ssl_ca_certs=ca.pem", "rediss://host:6380/0", 0),
        ("unix:///run/redis.sock", "unix:///run/redis.sock", 0),
        (f"unix://:{SECRET}@/run/redis.sock?db=3", "unix:///run/redis.sock?db=3", 3),
    ],
)
def test_urls_that_are_right(url: str, address: str, database: int) -> None:
    """Each leads to one database, and the address shows no secret."""
    assert read_url(url)[:2] == (address, database)
    link = Link(url)
    assert link.redis.get_connection_kwargs().get("db", 0) == database
    assert link.channel == f"{{wsremote}}:changes:{database}"
    link.close()


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("host/prod", "databases have numbers, such as the 0 of redis://HOST/0"),
        ("host/1/2", "databases have numbers"),
        ("host/1/", "databases have numbers"),
        ("host/-1", "databases have numbers"),
        ("host//1", "databases have numbers"),
        ("host/0x1", "databases have numbers"),
        ("host/\N{ARABIC-INDIC DIGIT ONE}", "databases have numbers"),
        ("host/1?db=2", "it says twice which database"),
        ("host?db=-1", "databases have numbers"),
        ("host?db=prod", "databases have numbers"),
        ("host?db=", "there twice, or empty"),
        ("host?db=1&db=2", "there twice, or empty"),
        ("host/0?foo=1", "after the [?] there may be db, "),
        ("host/0?protocol=3", "after the [?] there may be db, "),
        ("host/0?ssl_ca_certs=ca.pem", "with rediss://"),
        ("host/0#1", "nothing may follow a #"),
        ("host:0/1", "its port is 0"),
        ("host:66000/1", "it cannot be read"),
        ("host:http/1", "it cannot be read"),
        ("/1", "there is no host"),
        (":6379/1", "there is no host"),
        ("ho st/1", "a blank in it"),
        ("host/1\n", "a blank in it"),
        ("[:", "it cannot be read"),
    ],
)
def test_nonsense_is_refused(rest: str, why: str) -> None:
    """With what is wrong, and nothing of what was given: there may be a password in it."""
    for credentials in ("", f":{SECRET}@", f"me:{SECRET}/1@"):
        if credentials.endswith("/1@"):
            why = ""
        with pytest.raises(ValueError, match=f"^--store is not the URL of a Redis server: .*{why}"):
            read_url(f"redis://{credentials}{rest}")
        with pytest.raises(ValueError) as caught:
            Link(f"redis://{credentials}{rest}")
        assert SECRET not in repr(caught.getrepr())


@pytest.mark.parametrize(
    "url", ["unix://", "unix://run/redis.sock", "http://host", "redis:host", "unix:///x?ssl_key=1"]
)
def test_other_urls_are_refused(url: str) -> None:
    """`unix://run/…` would be another socket, at the root of all files."""
    with pytest.raises(ValueError, match=r"^--store"):
        Link(url)


@pytest.mark.parametrize(
    "option", ["ssl_nonsense=1", "ssl_cert_reqs=sometimes", "socket_timeout=soon"]
)
def test_options_that_redis_py_does_not_take(option: str) -> None:
    """At the start, and not at each of the attempts to connect, for ever."""
    with pytest.raises(
        ValueError, match=r"^--store: (there is no such connection to Redis: |Invalid value for .)"
    ):
        Link(f"rediss://host/0?{option}")
