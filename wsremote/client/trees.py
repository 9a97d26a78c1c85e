"""The info tree of a session: what the cache on disk has of it, and from the server the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ConnectionFailed, RemoteProtocolError
from ..tree.info import InfoTree
from ..tree.nodes import digest_of

if TYPE_CHECKING:
    from ..protocol.messages import Welcome
    from .cache import Cache
    from .receiving import Receiving

__all__ = ["receive_tree"]

FETCH_TIMEOUT: Final = 30.0
"""Seconds to wait for a module's document that the cache has lost."""


def receive_tree(driver: Receiving, welcome: Welcome, cache: Cache, timeout: float) -> InfoTree:
    """The info tree; what the disk cache lacks comes from the server.

    Args:
        driver: Of the session.
        welcome: What the server has said of it.
        cache: On disk.
        timeout: Seconds for what must be fetched.

    Raises:
        ConnectionFailed: There is none; the text says why.
    """
    try:
        return _receive_tree(driver, welcome, cache, timeout)
    except TimeoutError as error:
        raise ConnectionFailed(f"{error}: give connect() a longer timeout") from error
    except (RemoteProtocolError, LookupError, TypeError, ValueError) as error:
        raise ConnectionFailed(
            f"{driver.url} sent no info tree that can be read ({error!r}): install the same"
            " wsremote on both sides"
        ) from error


def _receive_tree(driver: Receiving, welcome: Welcome, cache: Cache, timeout: float) -> InfoTree:
    index = cache.index(welcome.tree) if welcome.modules is None else welcome.modules
    if index is None:
        raise ConnectionFailed(
            f"the info tree of {driver.url} was in the cache a moment ago and is gone: connect"
            " again"
        )
    digests = [digest for _, digest in index["modules"]]
    missing = cache.missing(digests)
    fetched = driver.fetch(missing, timeout) if missing else {}
    wrong = [digest for digest, document in fetched.items() if digest_of(document) != digest]
    if wrong or len(fetched) != len(set(missing)):
        raise ConnectionFailed(f"{driver.url} sent an info tree that is not what it announced")
    cache.store(driver.url, welcome.tree, index, fetched)

    def load(digest: str) -> bytes:
        document = fetched.get(digest) or cache.document(digest)
        if document is None:
            # Gone from the cache since.
            late = driver.fetch([digest], FETCH_TIMEOUT).get(digest, b"")
            if digest_of(late) != digest:
                raise RemoteProtocolError(
                    f"{driver.url} sent a part of its info tree that is not what it announced:"
                    " connect again"
                )
            document = fetched[digest] = late
        return document

    return InfoTree(index, load)
