"""How the programs that tests need come onto a machine; nothing is installed here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import system_packages


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run, all of which succeed."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(system_packages.subprocess, "run", run)
    return commands


def there(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """Only these programs are on this machine."""
    places = {program: f"/usr/bin/{program}" for program in programs}
    monkeypatch.setattr(system_packages.shutil, "which", lambda name, **_: places.get(name))


def test_a_machine_that_has_all_is_left_alone(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No apt-get is called, nor needed."""
    there(monkeypatch, *system_packages.PROGRAMS)
    system_packages.install_missing()
    assert ran == []


def test_root_gets_what_is_missing(ran: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists of packages first; and the program has to be there afterwards."""
    monkeypatch.setattr(system_packages.os, "geteuid", lambda: 0)
    there(monkeypatch, "apt-get", "chromium", "redis-server")
    with pytest.raises(SystemExit, match="nginx-light was installed, and its program is not"):
        system_packages.install_missing()
    update, install = ran
    assert update == ["apt-get", "update"]
    assert install[:3] == ["apt-get", "install", "--yes"]
    assert install[-1] == "nginx-light"
    assert "chromium" not in install


@pytest.mark.parametrize(
    ("user", "programs", "said"),
    [
        (1000, ["apt-get"], "sudo sh -c 'apt-get update && apt-get install --yes"),
        (0, [], "there is no apt-get: chromium, redis-server, nginx-light"),
    ],
)
def test_others_are_told_what_to_type(
    ran: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    programs: list[str],
    said: str,
) -> None:
    """Who may not install, or cannot; nothing is run."""
    monkeypatch.setattr(system_packages.os, "geteuid", lambda: user)
    there(monkeypatch, *programs)
    with pytest.raises(SystemExit) as caught:
        system_packages.install_missing()
    assert said in str(caught.value)
    assert ran == []


def test_servers_outside_of_the_path_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx is in /usr/sbin, which is on the path of root only."""
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(system_packages, "_PLACES", str(tmp_path))
    assert system_packages.find("nginx") == str(program)
