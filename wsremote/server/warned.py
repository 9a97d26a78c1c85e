"""What a call warns of goes to that call.

Whether a warning is shown is for the caller's filters to say, once for each place or each time.
So while a server runs, Python's default filters, which hide some and show others once in a
process, are replaced by one that lets all through. Filters that somebody has set come before it
and hold on the server: those of the operator (`python -W`), and those of served packages.
"""

from __future__ import annotations

import re
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final, TextIO

from .output import current_sink

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WarningRouter"]

# What Python starts with, in front of "once for each place". Not the last one, which hides
# ResourceWarning: garbage that a call collects may be anybody's.
_DEFAULTS: Final = frozenset(
    [
        ("default", None, DeprecationWarning, "__main__", 0),
        ("ignore", None, DeprecationWarning, None, 0),
        ("ignore", None, PendingDeprecationWarning, None, 0),
        ("ignore", None, ImportWarning, None, 0),
    ]
)

# Ours, which stands behind all others.
_LAST: Final = ("always", None, Warning, None, 0)

_HIDDEN: Final = (DeprecationWarning, PendingDeprecationWarning, ImportWarning)

_MOST_PLACES: Final = 10_000
"""Places whose warnings are remembered as shown on the server itself."""


class WarningRouter:
    """Puts the hook in place while a server runs. Several servers in a process share it."""

    # What was there before the first router, and what that put there.
    _before: Callable[..., Any] | None = None
    _ours: Callable[..., Any] | None = None
    _removed: list[Any] = []
    _installed = 0
    _installing = threading.Lock()

    def __init__(self) -> None:
        # Whether this router counts among the installed ones.
        self._is_installed = False

    def install(self) -> None:
        """Route warnings from now on. Safe to call twice."""
        router = WarningRouter
        with router._installing:
            if self._is_installed:
                return
            self._is_installed = True
            router._installed += 1
            if router._installed > 1:
                return
            router._before = warnings.showwarning
            router._ours = warnings.showwarning = _showing(router._before)
            filters: list[Any] = warnings.filters  # type: ignore[assignment]
            router._removed = [each for each in filters if _plain(each) in _DEFAULTS]
            for each in router._removed:
                filters.remove(each)
            _let_all_through()

    def uninstall(self) -> None:
        """Put back what was there, unless somebody else has replaced it since."""
        router = WarningRouter
        with router._installing:
            if not self._is_installed:
                return
            self._is_installed = False
            router._installed -= 1
            if router._installed:
                return
            if warnings.showwarning is router._ours and router._before is not None:
                warnings.showwarning = router._before
            for action, _, category, module, line in map(_plain, router._removed):
                warnings.filterwarnings(
                    action, category=category, module=module or "", lineno=line, append=True
                )
            router._before = router._ours = None
            router._removed = []


def _plain(entry: Any) -> tuple[Any, ...]:
    """A filter with the text of its expressions; those of the defaults are text or compiled."""
    action, message, category, module, line = entry
    texts = [each.pattern if isinstance(each, re.Pattern) else each for each in (message, module)]
    return action, texts[0], category, texts[1], line


def _let_all_through() -> None:
    """See to the last filter; and let warnings through again that were shown once for a place.

    Python forgets what it has shown when filters change: each caller is to see each warning.
    """
    warnings.simplefilter("always", append=True)


def _showing(before: Callable[..., Any]) -> Callable[..., Any]:
    """A `warnings.showwarning` that sends a call's warnings to its client."""
    shown: set[tuple[type, str, str, int]] = set()

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        sink = current_sink.get()
        if sink is not None and file is None:
            warning = message if isinstance(message, Warning) else category(message)
            if sink.warn(warning, filename, lineno):
                _let_all_through()
                return
        elif file is None and not _has_filter(category, str(message), lineno):
            # As Python's default filters do, for what runs outside of calls.
            place = (category, str(message), filename, lineno)
            if issubclass(category, _HIDDEN) or place in shown:
                return
            if len(shown) < _MOST_PLACES:
                shown.add(place)
        before(message, category, filename, lineno, file, line)

    return showwarning


def _has_filter(category: type[Warning], text: str, line: int) -> bool:
    """Whether a filter that is not ours may have let a warning through."""
    return any(
        issubclass(category, kind)
        and (message is None or re.match(message, text, re.IGNORECASE))
        and (lineno == 0 or lineno == line)
        for action, message, kind, module, lineno in map(_plain, list(warnings.filters))
        if (action, message, kind, module, lineno) != _LAST
    )
