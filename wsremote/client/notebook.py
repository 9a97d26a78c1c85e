"""What is shown in a notebook. IPython is there already, or it is not: nothing here loads it."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["NotebookBar", "is_notebook"]


def _ipython() -> Any:
    """The shell of a notebook's kernel; None anywhere else."""
    module = sys.modules.get("IPython")
    get_ipython = getattr(module, "get_ipython", None)
    shell = None if get_ipython is None else get_ipython()
    return None if getattr(shell, "kernel", None) is None else shell


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return _ipython() is not None


class NotebookBar:
    """A bar in the output of the cell that runs: one display, which is updated in its place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, text: str) -> None:
        """Show this in the place of what was shown."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)

    def remove(self) -> None:
        """Show nothing."""
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
