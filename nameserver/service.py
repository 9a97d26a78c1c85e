"""What a name server serves: a function for each thing that can be asked of it.

The server that calls these functions has checked the token and says whose call it is. What a
client sends is checked here, field by field, and what it is given are copies: dicts, lists,
texts and numbers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from wsremote.errors import NameNotFound, NameRefused, NameTaken
from wsremote.printable import kind_of
from wsremote.server.clients import current_client

from . import choosing
from .pinned import pinned_record
from .records import STATES, Load, Record, check_name, normal_url
from .watching import Ringer, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .access import Access
    from .records import Entry, State
    from .store import Store

__all__ = [
    "SERVED",
    "SETTINGS",
    "Service",
    "checked_renewal",
    "deregister",
    "doubt",
    "drain",
    "find",
    "pin",
    "register",
    "renew",
    "resolve",
    "servers",
    "start",
    "stop",
    "unpin",
    "watch",
]

logger = logging.getLogger("wsremote.nameserver")

SERVED: Final = (
    "deregister", "doubt", "drain", "find", "pin", "register", "renew", "resolve", "servers",
    "unpin", "watch",
)  # fmt: skip
"""The functions of this module that clients may call."""

SETTINGS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "expose": tuple(f"nameserver:{name}" for name in SERVED),
        "read_only": True,
        "public_only": True,
        "no_source": True,
    }
)
"""Of the configuration of a server that serves this: nothing else can be reached."""

_MOST_WORDS: Final = 32
"""Tags that may be asked for."""
_MOST_TEXT: Final = 200
"""Characters of a text that is asked for."""
_QUIET: Final = 60.0
"""Seconds in which a refusal like the last is not logged again."""
_MOST_REFUSALS: Final = 1000


class Service:
    """A name server's answers.

    Args:
        store: Where registrations are kept; started and closed by who makes this.
        access: Who may register what.
    """

    def __init__(self, store: Store, access: Access) -> None:
        self.store = store
        self.access = access
        self.ringer = Ringer(store.view, store.doubt)
        self.started = time.time()
        # How often each function was called, and how often a token was refused.
        self.asked = dict.fromkeys(SERVED, 0)
        self.refusals = 0
        self._counting = threading.Lock()
        self._random = random.Random()
        self._given = choosing.Given()
        # By token and name: when a refusal was logged last, and how many there were since.
        self._refused: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def count(self, function: str) -> None:
        """A function was called."""
        with self._counting:
            self.asked[function] += 1

    def start(self) -> None:
        """Begin: the functions of this module work on this."""
        self.ringer.start()

    def close(self) -> None:
        """End the watches."""
        self.ringer.close()

    # ---- servers ---------------------------------------------------------------------

    def register(self, key_id: str, record: Record) -> dict[str, Any]:
        """Give a server its lease.

        Raises:
            NameRefused: The token is not for this name.
            NameTaken: Others have it.
        """
        with self.allowed(key_id, record.name):
            lease = self.store.register(record, key_id)
        return {
            "fence": lease.fence,
            "ttl": lease.ttl,
            "every": lease.every,
            "revision": self.store.view.revision,
        }

    @contextlib.contextmanager
    def allowed(self, key_id: str, name: str) -> Iterator[None]:
        """Do something under a name, if the token may. That it may not is logged.

        Raises:
            NameRefused: The token is not for this name.
            NameTaken: Others have it, as what is done here has found.
        """
        self.check_may(key_id, name)
        try:
            yield
        except NameTaken as error:
            # The store has put it into its audit.
            self._log_refused(key_id, name, str(error))
            raise

    def check_holder(self, key_id: str, name: str, id: str) -> None:
        """See that it is this token that has registered a server.

        Raises:
            NameRefused: It is another's, or may not register this name (any more).
        """
        entry = self.store.view.get(name, id)
        if entry is None or entry.owner == key_id:
            # What is not in the view is perhaps in the store.
            self.check_may(key_id, name)
        else:
            self._refuse(key_id, name, f"{name!r} was registered with another token")

    def check_may(self, key_id: str, name: str) -> None:
        """See that a token may register a name.

        Raises:
            NameRefused: It may not.
        """
        if self.access.may_register(key_id, name):
            return
        names = ", ".join(self.access.names_of(key_id))
        self._refuse(
            key_id,
            name,
            f"this token may register {names}, and not {name!r}: give the server another --name, or"
            " a token for this one as WSREMOTE_NAMESERVER_TOKEN"
            if names
            else f"this token is for lookups, and may not register {name!r}: give a server one that"
            " may (--nameserver-token or --tokens of the name server) as"
            " WSREMOTE_NAMESERVER_TOKEN",
        )

    def _refuse(self, key_id: str, name: str, why: str) -> NoReturn:
        self.store.note_refused(name, key_id, why)
        self._log_refused(key_id, name, why)
        raise NameRefused(why)

    def _log_refused(self, key_id: str, name: str, why: str) -> None:
        """Say it, unless that has just been said."""
        with self._counting:
            self.refusals += 1
        now = time.monotonic()
        said, since = self._refused.get((key_id, name), (now - 2 * _QUIET, 0))
        if now - said < _QUIET:
            self._refused[key_id, name] = said, since + 1
            return
        more = f" ({since} times more since the last such line)" if since else ""
        logger.warning("! token %s was refused: %s%s", key_id, why, more)
        self._refused[key_id, name] = now, 0
        self._refused.move_to_end((key_id, name))
        while len(self._refused) > _MOST_REFUSALS:
            self._refused.popitem(last=False)

    # ---- clients ---------------------------------------------------------------------

    def resolve(
        self, name: str, version: str | None, tags: tuple[str, ...], zone: str, n: int
    ) -> list[Entry]:
        """Servers to try, the best first.

        Raises:
            NameNotFound: There is none; the text says what there is, and whether that is certain.
        """
        # Before the view is read: what it lacks then is not certain, whatever it has later.
        unsure = self.store.look(name)
        try:
            return choosing.resolve(
                self.store.view,
                name,
                version=version,
                tags=tags,
                zone=zone,
                given=self._given,
                random=self._random,
                now=time.time(),
                n=n,
            )
        except NameNotFound as error:
            raise _with_doubt(error, unsure) from None

    def find(self, name: str, url: str) -> Entry:
        """The entry at a URL, whatever its state.

        Raises:
            NameNotFound: There is none; as for `resolve`.
        """
        unsure = self.store.look(name)
        for entry in self.store.view.named(name):
            if url in entry.record.urls:
                return entry
        missing = NameNotFound(f"No server of the name {name!r} is at {url}.", is_certain=False)
        raise _with_doubt(missing, unsure)


def _with_doubt(error: NameNotFound, unsure: str | None) -> NameNotFound:
    """What a client is told that finds nothing.

    Args:
        error: What the view gives; certain already if it is of what stands in the view.
        unsure: Why the view may lack something.
    """
    if unsure is None:
        return NameNotFound(str(error), is_certain=True, is_known=error.is_known)
    if error.is_certain:
        return error
    text = f"{error} That is not certain: {unsure.rstrip('.')}."
    return NameNotFound(text, is_certain=False, is_known=error.is_known)


_service: Service | None = None


def start(store: Store, access: Access) -> Service:
    """Let the functions of this module work on a store. One a process.

    Args:
        store: Started, and closed by the caller.
        access: Who may register what.
    """
    global _service
    if _service is not None:
        raise RuntimeError("a name server runs in this process already")
    service = Service(store, access)
    service.start()
    _service = service
    return service


def stop() -> None:
    """End it. Safe to call twice."""
    global _service
    service, _service = _service, None
    if service is not None:
        service.close()


def _running(function: str) -> Service:
    """What answers, and counts that it was asked."""
    service = _service
    if service is None:
        raise RuntimeError("no name server runs in this process: start one, wsremote nameserver")
    service.count(function)
    return service


def _caller() -> str:
    """Key id of the token of the client whose call this is."""
    client = current_client()
    if client is None:
        raise RuntimeError("this is for clients of the name server: call it over a session")
    return client.key_id


# ---- what is served ------------------------------------------------------------------------


def register(record: dict[str, Any]) -> dict[str, Any]:
    """Put a server under a name, for as long as its lease is renewed.

    Args:
        record: `name`, `id`, `urls`, `version`, `wsremote`, `python`, `packages`, `tree`, `tags`,
            `zone`, `capacity`.

    Returns:
        `fence`, the number of the lease; `ttl`, how many seconds it lasts; `every`, after how many
        it should be renewed; `revision`, of the registry.

    Raises:
        ValueError: A field is wrong; the text names it.
        NameRefused: The token may not register this name.
        NameTaken: Servers of another token have it.
    """
    return _running("register").register(_caller(), Record.from_wire(record))


def renew(name: str, id: str, fence: int, load: dict[str, Any] | str, state: str = "ready") -> None:
    """Keep a lease, and say how busy the server is.

    Args:
        name: Of the service.
        id: Of the server.
        fence: Of its lease.
        load: `sessions`, `running`, `cpu` (0 to 1), `memory` (bytes). Or the same as JSON, which
            takes a third of the time: what a call changes in a dict would be written back.
        state: `ready` or `draining`.

    Raises:
        LeaseLost: It is over; `reason` says why.
        ValueError: A value is wrong.
        NameRefused: The lease is another token's.
    """
    service, key_id = _running("renew"), _caller()
    said, now = checked_renewal(name, id, fence, load, state)
    service.check_holder(key_id, name, id)
    service.store.renew(name, id, fence, said, now)


def deregister(name: str, id: str, fence: int) -> None:
    """End a lease: the server shuts down. Nothing happens if it has ended already.

    Raises:
        NameRefused: The lease is another token's.
    """
    service, key_id = _running("deregister"), _caller()
    _check(name, id)
    _check_fence(fence)
    service.check_holder(key_id, name, id)
    service.store.deregister(name, id, fence)


def resolve(
    name: str,
    version: str | None = None,
    tags: Sequence[str] = (),
    zone: str = "",
    n: int = 3,
) -> list[dict[str, Any]]:
    """The servers to try for a new session, the best first.

    Args:
        name: Of the service.
        version: What it must be, such as `~=1.2`; None for any.
        tags: All of which it must have.
        zone: Servers of it come first.
        n: How many, at most 16.

    Raises:
        NameNotFound: There is none; the text says what there is. `is_certain` is False if the name
            server may not have heard of a server yet, or cannot read its store.
        ValueError: A value is wrong.
    """
    service = _running("resolve")
    check_name(name)
    if version is not None:
        _check_text(version, "version")
    if type(tags) not in (list, tuple) or len(tags) > _MOST_WORDS:
        raise ValueError(f"tags: a list of at most {_MOST_WORDS} is expected")
    for tag in tags:
        _check_text(tag, "tags")
    _check_text(zone, "zone")
    if type(n) is not int or not 0 < n <= choosing.MOST_CANDIDATES:
        raise ValueError(f"n: {_shown(n)} is not a number from 1 to {choosing.MOST_CANDIDATES}")
    chosen = service.resolve(name, version, tuple(tags), zone, n)
    now = time.time()
    return [entry.to_wire(now) for entry in chosen]


def find(name: str, url: str) -> dict[str, Any]:
    """The server of a name that is at a URL, also if it takes no new sessions.

    Raises:
        NameNotFound: There is none; `is_certain` as for `resolve`.
        ValueError: A value is wrong.
    """
    service = _running("find")
    check_name(name)
    return service.find(name, normal_url(url)).to_wire(time.time())


def servers(prefix: str = "") -> list[dict[str, Any]]:
    """All servers whose name begins with `prefix`, by name."""
    service = _running("servers")
    _check_text(prefix, "prefix")
    now = time.time()
    return [entry.to_wire(now) for entry in service.store.view.entries(prefix)]


def doubt() -> str | None:
    """Why servers that run may be missing in a list that is asked for after this; None if not.

    The name server has just been started, say, or cannot read its store.
    """
    return _running("doubt").store.doubt()


def watch(since: int | None = None, prefix: str = "") -> Watch:
    """What changes, as it happens: `for change in watch()`, or `async for`.

    The first item is `{"kind": "all", "revision": 7, "servers": [...], "doubt": None}`; then come
    items of the kinds `registered`, `changed` and `gone`, each with `revision`, `name`, `id` and
    `server`. One who reads slowly is given an `all` again now and then. `doubt` is a text if
    servers that run may be missing, as the name server has just been started; who compares this
    `all` with what was before takes none of them for gone. When the doubt is over an `all` without
    one comes.

    Args:
        since: The `revision` of the last item that is known: go on from there.
        prefix: Of the names.
    """
    service = _running("watch")
    _check_text(prefix, "prefix")
    if since is not None:
        _check_fence(since, "since")
    return Watch(service.ringer, since, prefix)


def drain(name: str, id: str, draining: bool = True) -> None:
    """Send no new sessions to a server, or send some again.

    Raises:
        NameNotFound: There is no such server.
        NameRefused: The token may not register this name.
        NameTaken: Servers of another token have it.
    """
    service, key_id = _running("drain"), _caller()
    _check(name, id)
    if type(draining) is not bool:
        raise ValueError(f"draining: {_shown(draining)} is neither True nor False")
    with service.allowed(key_id, name):
        service.store.drain(name, id, draining, key_id)
    what = "is drained" if draining else "is drained no longer"
    logger.info("= the server %s of the name %s %s, by token %s", id, name, what, key_id)


def pin(record: dict[str, Any]) -> None:
    """Keep an entry for a server that registers nothing itself, until `unpin`.

    It holds the name against nobody: whoever registers it may unpin what others have pinned there.

    Args:
        record: `name` and `url` or `urls`; `version`, `tags`, `zone`, `capacity` if they are known.

    Raises:
        ValueError: A field is wrong; the text names it.
        NameRefused: The token may not register this name.
        NameTaken: Servers of another token have it.
    """
    service, key_id = _running("pin"), _caller()
    pinned = pinned_record(record)
    with service.allowed(key_id, pinned.name):
        service.store.pin(pinned, key_id)


def unpin(name: str, url: str) -> bool:
    """End what `pin` did; whether there was such an entry.

    Raises:
        NameRefused: The token may not register this name.
        NameTaken: Servers of another token have it.
    """
    service, key_id = _running("unpin"), _caller()
    check_name(name)
    url = normal_url(url)
    with service.allowed(key_id, name):
        return service.store.unpin(name, url, key_id)


def checked_renewal(
    name: object, id: object, fence: object, load: object, state: str
) -> tuple[Load, State]:
    """Load and state of a renewal, all of whose arguments are as they must be.

    Raises:
        ValueError: One is wrong.
    """
    _check(name, id)
    _check_fence(fence)
    if type(state) is not str or state not in STATES:
        raise ValueError(f"state: {_shown(state)} is neither 'ready' nor 'draining'")
    return Load.from_wire(_read_json(load) if type(load) is str else load), state


def _read_json(text: str) -> object:
    _check_text(text, "load")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"load: {_shown(text)} is no JSON") from None


def _check(name: object, id: object) -> None:
    check_name(name)
    _check_text(id, "id")


def _check_text(text: object, field: str) -> None:
    if type(text) is not str or len(text) > _MOST_TEXT:
        raise ValueError(
            f"{field}: a text of at most {_MOST_TEXT} characters is expected, not {_shown(text)}"
        )


def _check_fence(number: object, field: str = "fence") -> None:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"{field}: {_shown(number)} is not a whole number from 0")


def _shown(value: object) -> str:
    """A value that is refused, short enough for a message; a proxy is not asked for its text."""
    if isinstance(value, str | bytes):
        return repr(value[:60])
    return repr(value) if type(value) in (int, float, bool, type(None)) else kind_of(value)
