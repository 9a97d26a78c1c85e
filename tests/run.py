"""Install what the tests need and run them: `python3 tests/run.py [pytest arguments]`.

Needs Python 3.11 or newer and nothing else. Inside a virtual environment it uses that one,
otherwise it makes `.venv/tests` in the checkout. Installs again only if pyproject.toml changed.
Without arguments all tests run, in several processes; with arguments, pytest gets just these.
Programs that are no Python packages are installed by `system_packages`, as root, or asked for.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import system_packages

ROOT = Path(__file__).resolve().parents[1]
STAMP = "wsremote-tests-installed"


def main() -> None:
    """Make the environment, then become pytest."""
    if sys.version_info < (3, 11):
        sys.exit(f"wsremote needs Python 3.11 or newer, and this is {sys.version.split()[0]}.")
    try:
        system_packages.install_missing()
    except SystemExit as error:
        if not sys.argv[1:]:
            raise
        print(error, flush=True)  # the tests that were chosen may not need them
    home = Path(sys.prefix) if sys.prefix != sys.base_prefix else ROOT / ".venv" / "tests"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = home / STAMP
    if not stamp.exists() or stamp.read_text() != wanted:
        if not python.exists():
            create(home)
        pip(python, "--upgrade", "pip>=25.1")  # the first that knows --group
        pip(python, "--editable", ".", "--group", "tests")
        stamp.write_text(wanted)
    os.chdir(ROOT)
    arguments = sys.argv[1:] or ["-n", str(processes()), "--dist", "loadfile"]
    tests = subprocess.run([str(python), "-m", "pytest", *arguments], check=False)
    sys.exit(tests.returncode)


def processes() -> int:
    """How many run tests side by side. Most tests have a server, which is a process as well."""
    return min(8, max(2, (os.cpu_count() or 1) - 1))


def create(home: Path) -> None:
    """A virtual environment with pip."""
    print(f"Making {home} ...", flush=True)
    try:
        venv.create(home, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python cannot make virtual environments. Debian: apt install python3-venv")


def pip(python: Path, *arguments: str) -> None:
    """Install, or say what to look at."""
    print(f"Installing {' '.join(arguments)} ...", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit("pip failed, its message is above. Is the package index reachable from here?")


if __name__ == "__main__":
    main()
