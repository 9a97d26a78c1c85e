"""A Redis server as seen by a name server: the thread that speaks with it, and what went wrong.

One thread runs an event loop for everything; calls come in from any thread and wait for it. The
password is in none of the texts.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from .redis_scripts import KEYS
from .redis_url import read_url

__all__ = ["Link", "Refused"]

logger: Final = logging.getLogger("wsremote.nameserver")

T = TypeVar("T")

TIMEOUT: Final = 3.0
"""Seconds that Redis may take to answer."""

CONNECTIONS: Final = 16
"""At most, for scripts; further ones wait for their turn. redis-py's own pool would raise."""


class Refused(ConnectionError):
    """Redis wants another password, or gives its user too few rights: waiting does not help."""


def _is_refusal(error: BaseException) -> bool:
    from redis import exceptions

    begin = str(error).partition(" ")[0]
    kinds = (exceptions.AuthenticationError, exceptions.NoPermissionError)
    return isinstance(error, kinds) or begin in ("NOAUTH", "WRONGPASS")


class Link:
    """The thread, the connections, the health.

    Args:
        url: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, or `rediss://`, or `unix://PATH`.
        now: The clock, seconds, never set back.

    Attributes:
        address: The URL without its user and password.
        channel: On which changes are published.
        timeout: Seconds that Redis may take to answer.
        redis: The client of redis-py; to be used in the loop only.
        well_since: When the last trouble was over.

    Raises:
        ValueError: The URL is not one of Redis.
        ImportError: redis-py is not installed. Both texts say what to do.
    """

    def __init__(self, url: str, now: Callable[[], float] = time.monotonic) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.connection import parse_url
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise ImportError(
                "--store redis://... needs the package redis: pip install 'wsremote[redis]'"
            ) from None
        self.address, database = read_url(url)
        try:
            found: dict[str, Any] = dict(parse_url(url))
        except ValueError as error:
            raise ValueError(f"--store: {error}") from None  # Which option has a wrong value.
        # Published messages do not know databases.
        self.channel = f"{{wsremote}}:changes:{database}"
        self.timeout = TIMEOUT
        self._secrets = [text for text in (found.get("password"),) if text]
        settings = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT} | found
        if "path" in found:
            settings.pop("socket_connect_timeout")
            settings.pop("socket_keepalive", None)
        else:
            settings["socket_keepalive"] = True
        # Made here, used in the loop: redis-py binds them to it at their first use.
        pool = BlockingConnectionPool(
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            # A connection of the pool may be older than Redis: once more, at once. All scripts may
            # run twice. Who calls is told of the second failure.
            retry=Retry(NoBackoff(), 1),
            protocol=2,
            client_name="wsremote-nameserver",
            **settings,
        )
        try:
            pool.make_connection()  # It opens nothing, and takes its settings.
        except Exception as error:
            raise ValueError(f"--store: there is no such connection to Redis: {error}") from None
        self.redis: Any = Redis.from_pool(pool)
        self._scripts: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="wsremote-redis", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        # What fails, and why, by who has tried; replaced as a whole.
        self._troubles: dict[str, str] = {}
        self._now = now
        self.well_since = -float("inf")
        self._closed = False

    # ---- the thread ------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the tasks, the connections and the thread; may be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * TIMEOUT)
        elif not self._loop.is_closed():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.redis.aclose(close_connection_pool=True), TIMEOUT)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the loop do something for ever. From any thread."""

        def begin() -> None:
            task = self._loop.create_task(work())
            self._tasks.add(task)  # The loop itself holds no reference to its tasks.
            task.add_done_callback(self._tasks.discard)

        self.post(begin)

    def post(self, function: Callable[[], object]) -> None:
        """Have the loop call a function soon. From any thread."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            raise ConnectionError("the name server's store is not running") from None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop do something and wait for it. From any thread but the loop's.

        Raises:
            ConnectionError: Redis cannot be asked; the text says why.
        """
        if self._closed or not self._thread.is_alive():
            work.close()
            raise ConnectionError("the name server's store is not running")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return self.wait(future)
        except Refused as error:
            raise ConnectionError(str(error)) from None  # Which clients know.

    def wait(self, future: concurrent.futures.Future[T]) -> T:
        """Wait for what the loop does.

        Raises:
            ConnectionError: Redis cannot be asked; the text says why.
        """
        try:
            return future.result(3 * TIMEOUT)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            future.cancel()
            raise ConnectionError(self.no_answer(3 * TIMEOUT)) from None

    def no_answer(self, seconds: float) -> str:
        """What to say if there was none for so long."""
        return self._told(f"{self.address} does not answer within {seconds:g} s")

    # ---- asking ----------------------------------------------------------------------

    async def script(self, text: str, *arguments: str | int) -> Any:
        """Run a script of `redis_scripts`.

        Raises:
            ConnectionError: Redis cannot do it; the text says why.
        """
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self.redis.register_script(text)
        with self.translated():
            return await script(KEYS, arguments)

    async def changing(self, text: str, *arguments: str | int) -> Any:
        """Run a script that publishes what it changes."""
        return await self.script(text, self.channel, *arguments)

    async def field(self, key: str, field: str) -> bytes:
        """A field of a hash; empty if there is none."""
        with self.translated():
            found: bytes | None = await self.redis.hget(key, field)
        return found or b""

    async def latest(self, key: str, most: int) -> list[bytes]:
        """The last of a list."""
        with self.translated():
            found: list[bytes] = await self.redis.lrange(key, -most, -1)
        return found

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what redis-py raises into `ConnectionError` with a text for people."""
        from redis.exceptions import RedisError

        try:
            yield
        except (TimeoutError, RedisError, OSError, EOFError) as error:
            kind = Refused if _is_refusal(error) else ConnectionError
            raise kind(self._told(self._explained(error))) from None

    def _told(self, text: str) -> str:
        return f"the name server's store: {text}"

    def _explained(self, error: BaseException) -> str:
        """What went wrong, in one line, and what to do."""
        from redis import exceptions

        said = " ".join(str(error).split())[:300] or type(error).__name__
        # Nothing that Redis writes moves the cursor of a terminal.
        said = "".join(each if each.isprintable() else "?" for each in said)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        begin = said.partition(" ")[0]
        if _is_refusal(error) and not isinstance(error, exceptions.NoPermissionError):
            if self._secrets:
                return f"{self.address} refuses the password that --store gives"
            return f"{self.address} wants a password: --store redis://:PASSWORD@HOST:PORT/DB"
        if isinstance(error, exceptions.NoPermissionError):
            return f"{self.address} does not permit it to this user ({said})"
        if isinstance(error, exceptions.ReadOnlyError) or begin == "READONLY":
            return f"{self.address} is read-only: it is a replica, give the primary to --store"
        if isinstance(error, exceptions.OutOfMemoryError) or begin in ("OOM", "-OOM"):
            return f"{self.address} is out of memory: raise its maxmemory"
        if isinstance(error, exceptions.BusyLoadingError):
            return f"{self.address} is loading its data"
        if begin == "MISCONF":
            return f"{self.address} refuses to write as it cannot save to disk; see its log"
        if begin in ("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"):
            return f"{self.address} is part of a cluster; one Redis server is needed ({said})"
        if begin == "WRONGTYPE":
            return f"{self.address} has something else under the keys {{wsremote}}:* ({said})"
        if isinstance(error, exceptions.TimeoutError | asyncio.TimeoutError):
            return f"{self.address} does not answer within {TIMEOUT:g} s"
        if isinstance(error, exceptions.ConnectionError | OSError | EOFError):
            # redis-py says once more which address it is.
            why = said.rpartition(". ")[2].rstrip(".")
            if isinstance(error, exceptions.ConnectionError) and "Connect call failed" in said:
                why = "nothing listens there. Start redis-server, or give another --store"
            return f"{self.address} cannot be reached: {why}"
        return f"{self.address} answered with an error: {said}"

    # ---- health ----------------------------------------------------------------------

    def healthy(self) -> str | None:
        """None, or in one line what is wrong."""
        if self._closed or not self._thread.is_alive():
            return "the name server's store is not running"
        return next(iter(self._troubles.values()), None)

    def failed(self, who: str, error: BaseException) -> None:
        """Note that something does not work; the log has a line if that is news."""
        if self._closed:
            return
        text = str(error)
        if text not in self._troubles.values():
            logger.error(
                "! %s; lookups are answered from what was known, registrations and renewals"
                " may fail until that is over",
                text,
            )
        self._troubles = {**self._troubles, who: text}

    def worked(self, who: str) -> None:
        """Note that it works."""
        if who in self._troubles:
            left = {name: text for name, text in self._troubles.items() if name != who}
            if not left:
                self.well_since = self._now()
                logger.warning("= the name server's store: %s works again", self.address)
            self._troubles = left
