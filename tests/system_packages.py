"""Programs that the tests need beside Python packages, and how they come onto the machine.

As root on Debian and its kin they are installed; anybody else is told what to type. A machine that
has them all is left alone.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["PROGRAMS", "install_missing", "missing"]

PROGRAMS: Final = MappingProxyType(
    {"chromium": "chromium", "redis-server": "redis-server", "nginx": "nginx-light"}
)
"""Each with the Debian package that has it."""

_PLACES: Final = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])
"""Where servers are that are not on the path of everybody."""


def find(program: str) -> str | None:
    """Where a program is; None if it is not there."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), _PLACES])
    return shutil.which(program, path=path)


def missing() -> list[str]:
    """The packages of the programs that are not there."""
    return [package for program, package in PROGRAMS.items() if find(program) is None]


def install_missing() -> None:
    """See that all programs are there.

    Raises:
        SystemExit: One is not, and cannot be installed here; the text says what to type.
    """
    packages = missing()
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    typed = f"apt-get update && {shlex.join(command)}"
    if shutil.which("apt-get") is None:
        sys.exit(f"The tests need these programs, and there is no apt-get: {', '.join(packages)}")
    if os.geteuid() != 0:
        sys.exit(
            f"The tests need programs that are not here: {', '.join(packages)}. Type:\n"
            f"    sudo sh -c {shlex.quote(typed)}"
        )
    print(f"Installing {' '.join(packages)} ...", flush=True)
    # No questions, and no server that is started only because it was installed.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for each in (["apt-get", "update"], command):
        _run(each, environment)
    if left := missing():
        sys.exit(f"{', '.join(left)} was installed, and its program is not there.")


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command; what it prints is shown only if it fails."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{shlex.join(command)} failed, its message is above.")


if __name__ == "__main__":
    install_missing()
