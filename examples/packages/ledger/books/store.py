"""Accounts in a SQLite database: the module holds the connection.

SQLite ties a connection to the thread that made it, so a connection shows whether each caller
keeps its thread.
"""

from __future__ import annotations

import sqlite3

connection: sqlite3.Connection | None = None


class Closed(RuntimeError):
    """No books are open."""


def open_books(path: str = ":memory:") -> None:
    """Open the books, new ones if there are none."""
    global connection
    close_books()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE IF NOT EXISTS entry (account TEXT, cents INTEGER, memo TEXT)")


def close_books() -> None:
    """Close the books, if any are open."""
    global connection
    if connection is not None:
        connection.close()
        connection = None


def book(account: str, cents: int, memo: str = "") -> int:
    """Write one entry. Gives its number."""
    cursor = _open_connection().execute(
        "INSERT INTO entry VALUES (?, ?, ?)", [account, cents, memo]
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def balance(account: str) -> int:
    """The sum of an account, in cents."""
    query = "SELECT coalesce(sum(cents), 0) FROM entry WHERE account = ?"
    return int(_open_connection().execute(query, [account]).fetchone()[0])


def statement(account: str, *, limit: int = 10) -> list[tuple[int, str]]:
    """The last entries of an account."""
    query = "SELECT cents, memo FROM entry WHERE account = ? ORDER BY rowid DESC LIMIT ?"
    return _open_connection().execute(query, [account, limit]).fetchall()


def _open_connection() -> sqlite3.Connection:
    if connection is None:
        raise Closed("no books are open: call open_books() first")
    return connection
