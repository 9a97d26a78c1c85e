"""Tracebacks show the user's lines and the server's, and nothing of what is in between."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, ServedProcess

import wsremote


def frames(function: Callable[[], Any]) -> list[tuple[str, str]]:
    """File and function of each frame of what a function raises, this file's own left out."""
    with pytest.raises(BaseException) as failed:
        function()
    found = traceback.extract_tb(failed.value.__traceback__)
    return [(each.filename, each.name) for each in found if each.filename != __file__]


def test_calls_methods_and_constructors(pkg: Any) -> None:
    """The remote frames follow the line that called."""
    host = pkg.__spec__.origin.split("/")[2]
    assert frames(lambda: pkg.errors.fail()) == [(f"<wsremote {host}>/samplepkg/errors.py", "fail")]
    assert frames(lambda: pkg.failing.Failing().method()) == [
        (f"<wsremote {host}>/samplepkg/failing.py", "method")
    ]
    assert frames(lambda: pkg.failing.Failing(True)) == [
        (f"<wsremote {host}>/samplepkg/failing.py", "__init__")
    ]


def set_data(failing: Any) -> None:
    failing.data = 1


def delete_data(failing: Any) -> None:
    del failing.data


def enter(failing: Any) -> None:
    with failing:
        pass


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda failing: failing.data, "data"),
        (set_data, "data"),
        (delete_data, "data"),
        (lambda failing: failing.anything, "__getattr__"),
        (lambda failing: failing + 1, "__add__"),
        (lambda failing: failing[1], "__getitem__"),
        (lambda failing: len(failing), "__len__"),
        (lambda failing: failing(), "__call__"),
        (lambda failing: list(failing), "__iter__"),
        (lambda failing: bool(failing), "__bool__"),
        (lambda failing: str(failing), "__str__"),
        (lambda failing: failing.of_class(), "of_class"),
        (lambda failing: failing.of_nobody(), "of_nobody"),
        (lambda failing: next(failing.generate()), "generate"),
        (enter, "__enter__"),
    ],
)
def test_whatever_the_server_is_asked_for(pkg: Any, use: Callable[[Any], Any], name: str) -> None:
    """Attributes, operators, iteration: the frame of the server's code alone."""
    failing = pkg.failing.Failing()
    shown = frames(lambda: use(failing))
    assert [each[1] for each in shown] == [name]
    assert shown[0][0].endswith("/samplepkg/failing.py")


def test_what_has_no_code_on_the_server(pkg: Any) -> None:
    """A missing name, an error of C code: one frame says where it was."""
    host = pkg.__spec__.origin.split("/")[2]
    there = [(f"<wsremote {host}>", "<C code>")]
    assert frames(lambda: pkg.errors.nothing_such) == []
    assert frames(lambda: pkg.failing.Failing.nothing_such) == there
    assert frames(lambda: pkg.failing.broken("x")) == there


def test_callbacks(pkg: Any) -> None:
    """Through both sides: the server's frames and the user's, in the order of the calls."""

    def callback() -> None:
        pkg.failing.calling(deeper)

    def deeper() -> None:
        raise ValueError("deep")

    with pytest.raises(ValueError, match="deep") as failed:
        pkg.failing.calling(callback)
    text = "".join(traceback.format_exception(failed.value))
    names = re.findall(r"in (\w+)\n", text)
    assert names == ["test_callbacks", "calling", "callback", "calling", "deeper"]
    assert "wsremote/" not in text


def test_errors_of_wsremote_itself(remote: wsremote.Session, pkg: Any) -> None:
    """They say what happened; where in wsremote is of no help."""
    add = pkg.functions.add
    remote.close()
    assert frames(lambda: add(1, 2)) == []


def test_the_call_that_works_costs_nothing_more(pkg: Any) -> None:
    """Hiding happens where something is raised, and the function shows its own source line."""
    code = pkg.functions.add.__code__
    assert code.co_exceptiontable
    assert {line for _, _, line in code.co_lines()} == {code.co_firstlineno}


SCRIPT = """\
import sys
import wsremote

session = wsremote.connect(sys.argv[1], token=sys.argv[2])
pkg = session.modules.samplepkg


def work():
    return pkg.failing.calling(callback)


def callback():
    return pkg.failing.Failing().data
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program that fails on the server, in a callback."""
    path = tmp_path / "program.py"
    path.write_text(SCRIPT)
    return path


def run(*command: str, folder: Path) -> str:
    """What a process prints, which fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stdout


def own_frames(text: str) -> list[str]:
    """The lines of a traceback that name a file of wsremote's."""
    return [line for line in text.splitlines() if re.search(r"wsremote/\w+(/\w+)?\.py", line)]


def test_a_plain_process(sample: ServedProcess, script: Path) -> None:
    """The program's lines, the server's lines with their source."""
    script.write_text(f"{SCRIPT}\n\nwork()\n")
    text = run(sys.executable, str(script), sample.url, sample.token, folder=script.parent)
    assert own_frames(text) == []
    names = re.findall(r"in ([\w<>]+)\n", text)
    assert names == ["<module>", "work", "calling", "callback", "data"]
    assert 'raise ValueError("data")' in text
    assert "<wsremote 127.0.0.1:" in text


def test_a_plain_process_looks_into_no_other_file(sample: ServedProcess, script: Path) -> None:
    """Not into one here that is called as the server's, and in threads neither."""
    script.with_name("failing.py").write_text("wrong = 'a line of another file'\n" * 50)
    script.write_text(
        f"{SCRIPT}\n\nimport threading\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\nsys.exit(3)\n"
    )
    text = run(sys.executable, str(script), sample.url, sample.token, folder=script.parent)
    assert text.startswith("Exception in thread Thread-1")
    assert 'raise ValueError("data")' in text
    assert "a line of another file" not in text


def test_a_notebook(sample: ServedProcess, script: Path) -> None:
    """IPython shows the same, in its way."""
    pytest.importorskip("IPython")
    text = run(
        *(sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "--quick"),
        *("-c", f"%run {script} {sample.url} '{sample.token}'\nwork()"),
        folder=script.parent,
    )
    assert "ValueError" in text
    assert own_frames(text) == []
    assert "hidden" not in text
    assert 'raise ValueError("data")' in text


def test_pytest(sample: ServedProcess, script: Path) -> None:
    """The report of a failed test."""
    test = script.with_name("test_program.py")
    test.write_text(
        f"import sys\nsys.argv[1:] = [{sample.url!r}, {sample.token!r}]\n"
        "from program import work\n\n\ndef test_work():\n    work()\n"
    )
    text = run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(test)),
        folder=script.parent,
    )
    assert "ValueError: data" in text
    assert own_frames(text) == []
    assert 'raise ValueError("data")' in text
