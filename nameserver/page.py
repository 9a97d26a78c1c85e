"""The page of a name server: what a person sees who opens it in a browser.

All of it is made here, on the server: one document with its style inside, no script, nothing
from elsewhere, and a policy that lets the browser load nothing else. What servers say of
themselves is text of strangers, and is written as text.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from wsremote.transport.requests import Page
from wsremote.version import __version__

if TYPE_CHECKING:
    from .records import Entry
    from .service import Service

__all__ = ["MOST_SHOWN", "overview", "prefix_of"]

MOST_SHOWN: Final = 500
"""Servers on one page."""

_REFRESH: Final = 5
"""Seconds after which a browser asks again."""

_PORT: Final = re.compile(r":[0-9]+$")
_MOST_PACKAGES: Final = 8
_MOST_PREFIX: Final = 100

_STYLE: Final = """
:root { color-scheme: light dark; --dim: #667; --line: #ccd; --mark: #eef1f6; }
@media (prefers-color-scheme: dark) { :root { --dim: #99a; --line: #445; --mark: #23262e; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem;
  padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
p { margin: .3rem 0; } .dim { color: var(--dim); } .right { text-align: right; }
code { font: 13px/1.4 ui-monospace, monospace; background: var(--mark); border-radius: 3px;
  padding: .15rem .35rem; user-select: all; overflow-wrap: anywhere; }
table { border-collapse: collapse; table-layout: fixed; width: 100%;
  font-variant-numeric: tabular-nums; }
th:nth-child(1) { width: 25%; } th:nth-child(3), th:nth-child(4) { width: 15%; }
th:nth-child(5) { width: 9%; } th:nth-child(8) { width: 8%; }
th { font-weight: 600; color: var(--dim); text-align: left; }
th, td { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th.right { text-align: right; }
.state { font-weight: 600; } .ready { color: #197a3d; } .draining { color: #a25b00; }
.suspect, .wrong { color: #c02626; } .pinned { color: var(--dim); }
form { margin: .8rem 0; }
"""

_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}

_COLUMNS: Final = (
    ("Server", ""), ("State", ""), ("Version", ""), ("Packages", ""), ("Sessions", "right"),
    ("Calls", "right"), ("CPU", "right"), ("Memory", "right"), ("Age", "right"), ("Heard", "right"),
)  # fmt: skip


def overview(service: Service, *, secure: bool) -> Callable[[Any], Page]:
    """The page function of `/`.

    Args:
        service: Whose servers.
        secure: Whether the port speaks TLS.
    """

    def page(request: Any) -> Page:
        prefix = prefix_of(request)
        doubt = service.store.doubt()
        revision, entries = service.store.view.snapshot(prefix)
        url = _url(request, secure)
        body = _document(service, revision, entries, doubt, prefix, url)
        return Page(200, "text/html; charset=utf-8", body.encode(), _HEADERS)

    return page


def prefix_of(request: Any) -> str:
    """Which names are asked for: `?prefix=`."""
    values: list[str] = parse_qs(urlsplit(request.path).query).get("prefix", [""])
    return values[0].strip()[:_MOST_PREFIX]


def _url(request: Any, secure: bool) -> str:
    """Where the reader has found this name server, for the lines to paste."""
    # A proxy in front says so; it is only shown.
    secure = secure or request.headers.get_all("X-Forwarded-Proto") == ["https"]
    host = request.headers["Host"]
    if not _PORT.search(host):
        # A browser leaves out the usual one, which of a name server's URL is another.
        host += ":443" if secure else ":80"
    return f"{'wss' if secure else 'ws'}://{host}"


def _document(
    service: Service,
    revision: int,
    entries: Sequence[Entry],
    doubt: str | None,
    prefix: str,
    url: str,
) -> str:
    """The whole page."""
    wrong = service.store.healthy()
    again = "/" + (f"?prefix={quote(prefix)}" if prefix else "")
    names = {entry.record.name for entry in entries}
    summary = (
        f"{_counted(len(entries), 'server')} under {_counted(len(names), 'name')}"
        f"{_states(entries)} · revision {revision} · up {_ago(time.time() - service.started)}"
        f" · wsremote {__version__}"
    )
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="refresh" content="{_REFRESH};url={escape(again)}">',
        f"<title>{_counted(len(entries), 'server')} · wsremote name server</title>",
        f"<style>{_STYLE}</style></head><body>",
        "<h1>wsremote name server</h1>",
        f'<p class="dim">{escape(summary)}</p>',
    ]
    if wrong is not None:
        parts.append(f'<p class="wrong">{escape(wrong)}</p>')
    elif doubt is not None:
        parts.append(f'<p class="wrong">Servers that run may be missing: {escape(doubt)}.</p>')
    parts.append(
        '<form action="/"><label>Names that begin with'
        f' <input name="prefix" maxlength="{_MOST_PREFIX}" value="{escape(prefix)}"></label>'
        ' <button>Show</button> <a href="/servers.json">JSON</a></form>'
    )
    shown = entries[:MOST_SHOWN]
    for name, group in itertools.groupby(shown, lambda entry: entry.record.name):
        parts.append(_name(name, list(group), url))
    if not entries:
        parts.append(_nothing(prefix, url))
    elif len(shown) < len(entries):
        left = len(entries) - len(shown)
        parts.append(
            f"<p>{_counted(left, 'more server')}: ask for names by their first letters.</p>"
        )
    return "".join([*parts, "</body></html>"])


def _states(entries: Sequence[Entry]) -> str:
    """How many are in each state, if not all of them are ready."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.state] = counts.get(entry.state, 0) + 1
    if counts.keys() <= {"ready"}:
        return ""
    return " (" + ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items())) + ")"


def _nothing(prefix: str, url: str) -> str:
    if prefix:
        return f"<p>No name begins with {escape(prefix)}.</p>"
    return (
        "<p>No server is registered. On a server:</p>"
        f"<p><code>wsremote serve PKG --name NAME --nameserver {escape(url)}</code></p>"
    )


def _name(name: str, entries: Sequence[Entry], url: str) -> str:
    """A name: the line to paste, and its servers."""
    line = f'session = wsremote.connect("{name}", nameserver="{url}")'
    now = time.time()
    heads = "".join(f'<th class="{kind}">{title}</th>' for title, kind in _COLUMNS)
    rows = "".join(_row(entry.to_wire(now)) for entry in entries)
    return (
        f"<section><h2>{escape(name)}</h2><p><code>{escape(line)}</code></p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _row(server: Mapping[str, Any]) -> str:
    """One server."""
    load: Mapping[str, Any] = server["load"] or {}
    where = "<br>".join(escape(url) for url in server["urls"])
    marks = [*server["tags"], *([f"zone {server['zone']}"] if server["zone"] else [])]
    if marks:
        where += f'<br><span class="dim">{escape(", ".join(marks))}</span>'
    state = escape(server["state"])
    versions = [
        escape(server["version"]),
        *(
            f'<span class="dim">{label} {escape(server[field])}</span>'
            for field, label in (("wsremote", "wsremote"), ("python", "Python"))
            if server[field]
        ),
    ]
    cells = [
        (where, ""),
        (f'<span class="state {state}">{state}</span>', ""),
        ("<br>".join(each for each in versions if each), ""),
        (_packages(server["packages"]), ""),
        (f"{load['sessions']:,} of {server['capacity']:,}" if load else "", "right"),
        (f"{load['running']:,}" if load else "", "right"),
        (f"{load['cpu']:.0%}" if load else "", "right"),
        (f"{load['memory'] / 1024**2:,.0f} MiB" if load else "", "right"),
        (_ago(server["age"]), "right"),
        ("" if server["heard"] is None else _ago(server["heard"]), "right"),
    ]
    return "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in cells) + "</tr>"


def _packages(packages: Mapping[str, str]) -> str:
    """Import names with their versions, the first of them."""
    texts = [escape(f"{name} {version}".strip()) for name, version in packages.items()]
    more = len(texts) - _MOST_PACKAGES
    if more > 0:
        texts[_MOST_PACKAGES:] = [f'<span class="dim">and {more} more</span>']
    return "<br>".join(texts)


def _ago(seconds: float) -> str:
    """A time in its largest unit: 3 s, 5 min, 2 h, 4 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
