"""Test bodies that run in a client where none of the served packages is installed."""

from __future__ import annotations

import contextlib
import inspect
import json
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ServedProcess, bare_client

__all__ = ["BareClient", "in_bare_client", "open_bare_client"]

# Runs one body after the other, each a line of JSON; answers with a traceback or null.
_PROGRAM = """
import json, sys, traceback
import wsremote

answers = sys.stdout
sys.stdout = sys.stderr
session = wsremote.connect()
session.install()
for line in sys.stdin:
    source, first, file, name = json.loads(line)
    scope = {"session": session, "wsremote": wsremote, "__name__": "body"}
    try:
        exec(compile("\\n" * (first - 1) + source, file, "exec"), scope)
        scope[name]()
        answer = None
    except BaseException as error:
        answer = "".join(traceback.format_exception(error))
    print(json.dumps(answer), file=answers, flush=True)
session.close()
"""


class BareClient:
    """A Python in a process of its own, with a session whose packages `import` finds."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, body: Callable[[], None]) -> None:
        """Run the body of a function there; `session` and `wsremote` are its globals."""
        lines, first = inspect.getsourcelines(body)
        start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("def "))
        source = textwrap.dedent("".join(lines[start:]))
        file = inspect.getfile(body)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps([source, first + start, file, body.__name__])
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the client process has ended"
        failure = json.loads(answer)
        if failure is not None:
            pytest.fail(f"in the client:\n{failure}", pytrace=False)


@contextlib.contextmanager
def open_bare_client(served: ServedProcess, folder: Path) -> Iterator[BareClient]:
    """A bare client of a server; `folder` is an empty one."""
    command, environment = bare_client(folder)
    environment |= {
        "WSREMOTE_URL": served.url,
        "WSREMOTE_TOKEN": served.token,
        "WSREMOTE_CACHE": str(folder / "cache"),
    }
    process = subprocess.Popen(
        [*command, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
    )
    try:
        yield BareClient(process)
        process.communicate(timeout=10)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def in_bare_client(body: Callable[[], None]) -> Callable[[BareClient], None]:
    """A test that runs its body in the client that the fixture `client` gives.

    The body sees no globals of its module: it imports what it needs, and has `session` and
    `wsremote`.
    """

    def test(client: BareClient) -> None:
        client.run(body)

    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(test, name, getattr(body, name))
    marks: Any = getattr(body, "pytestmark", None)
    if marks is not None:
        test.pytestmark = marks  # type: ignore[attr-defined]
    return test
