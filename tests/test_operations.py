"""What docs/operations.md gives to copy is right."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness import ROOT

from nameserver.cli import nameserver
from wsremote.cli.serve import serve

PAGE = (ROOT / "docs" / "operations.md").read_text()
UNITS = dict(re.findall(r"```ini\n# /etc/systemd/system/(\S+)\n(.*?)```", PAGE, re.DOTALL))


def test_there_are_units() -> None:
    """For a server and for a name server; else the tests below look at nothing."""
    assert set(UNITS) == {"wsremote.service", "wsremote-nameserver.service"}


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")
    unit = tmp_path / name
    # It looks whether the program is there.
    unit.write_text(UNITS[name].replace("/srv/wsremote/venv/bin/wsremote", sys.executable))
    done = subprocess.run(
        [program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_starts_a_command_that_there_is(name: str) -> None:
    """With options that it takes."""
    (line,) = re.findall(r"^ExecStart=\S+/wsremote (.*)$", UNITS[name], re.MULTILINE)
    command, *words = line.split()
    taken = CliRunner().invoke({"serve": serve, "nameserver": nameserver}[command], ["--help"])
    assert taken.exit_code == 0
    for word in words:
        assert not word.startswith("--") or word in taken.output
