"""Serve real packages and use them from a Python that has none: `python3 examples/run.py`.

Needs Python 3.11 or newer and a package index. Makes two environments in the checkout:
`.venv/server` with wsremote, pandas, sympy and networkx, and `.venv/client` with wsremote
alone. Starts `wsremote nameserver` and `wsremote serve` in the first and runs the examples (all,
or the ones named as arguments) in the second.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BINARIES = "Scripts" if os.name == "nt" else "bin"
INSTALLED = ["pandas", "sympy", "networkx"]
FIRST = "quickstart.py"
SERVED = [
    *(*INSTALLED, "json", "statistics", "decimal"),
    *(str(HERE / "packages" / "garden"), str(HERE / "packages" / "ledger")),
]


def main() -> None:
    """Install, serve, run, and say how it went."""
    if sys.version_info < (3, 11):
        sys.exit(f"wsremote needs Python 3.11 or newer, and this is {sys.version.split()[0]}.")
    found = sorted(path for path in HERE.glob("*.py") if path.name not in {FIRST, "run.py"})
    scripts = [HERE / Path(name).name for name in sys.argv[1:]] or [HERE / FIRST, *found]
    server = environment("server", *INSTALLED)
    client = environment("client")
    token = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        start = functools.partial(started, stack, server / "wsremote", Path(folder), token)
        nameserver = start("nameserver")
        named = ["--name", "garden", "--tag", "example", "--nameserver", nameserver]
        url = start("serve", *SERVED, *named)
        log = ROOT / ".venv" / "serve.log"
        missing = log.read_text().count("wsremote: not served: ")
        print(
            f"  {missing} submodules lack optional packages and are not served; {log} names them."
        )
        where = {"WSREMOTE_URL": url, "WSREMOTE_NAMESERVER": nameserver, "WSREMOTE_TOKEN": token}
        failed = [script.name for script in scripts if not run(client, script, where)]
    if failed:
        sys.exit(f"\nFailed: {', '.join(failed)}")
    print(f"\nAll {len(scripts)} examples ran; the servers have ended.")


def environment(name: str, *packages: str) -> Path:
    """A virtual environment with wsremote and `packages`; its folder of programs.

    Installs again only if pyproject.toml or the list has changed.
    """
    home = ROOT / ".venv" / name
    programs = home / BINARIES
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest() + str(packages)
    stamp = home / "wsremote-installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return programs
    print(f"Installing {', '.join(['wsremote', *packages])} in {home} ...", flush=True)
    try:
        venv.create(home, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python cannot make virtual environments. Debian: apt install python3-venv")
    command = [programs / "python", "-m", "pip", "install", "--quiet", "--editable", ROOT]
    if subprocess.run([*command, *packages], check=False).returncode != 0:
        sys.exit("pip failed, its message is above. Is the package index reachable from here?")
    stamp.write_text(wanted)
    return programs


def started(
    stack: contextlib.ExitStack, program: Path, folder: Path, token: str, *arguments: str
) -> str:
    """Start a server, print what it prints until it listens, and give its URL."""
    ready_file, log = folder / arguments[0], ROOT / ".venv" / f"{arguments[0]}.log"
    variables = dict.fromkeys(["WSREMOTE_TOKEN", "WSREMOTE_NAMESERVER_TOKEN"], token)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [program, *arguments, "--port", "0", "--ready-file", ready_file],
            env={**os.environ, "WSREMOTE_STATE": str(folder), **variables},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    stack.callback(stop, process)
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C to stop" in line:
            break
        print(line, end="", flush=True)
    else:
        sys.exit(f"The server did not start:\n{log.read_text()}")
    url: str = json.loads(ready_file.read_text())["url"]
    return url


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a server, and see that it ends well."""
    process.terminate()
    code = process.wait()
    if code != 0:
        sys.exit(f"\nA server ended with {code}.")


def run(client: Path, script: Path, where: dict[str, str]) -> bool:
    """Run one example; whether it went well."""
    print(f"\n== {script.name}", flush=True)
    environment = {**os.environ, **where, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([client / "python", script], env=environment, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    main()
