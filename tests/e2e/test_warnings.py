"""What served code warns of is a warning here, under the filters of this process."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, ServedProcess

import wsremote


def line_of(text: str) -> int:
    """The number of the only line of this file that holds a text (which is in two parts here)."""
    lines = Path(__file__).read_text().splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found


def test_category_text_and_place_of_the_caller(pkg: Any) -> None:
    """As if the package had been called here: this file, the line of the call."""
    with pytest.warns(UserWarning, match="^careful$") as seen:
        assert pkg.warned.warn("careful") == "done"  # the call
    (warning,) = seen
    assert warning.category is UserWarning
    assert warning.filename == __file__
    assert warning.lineno == line_of("# the " + "call")
    assert type(warning.message) is UserWarning


def test_a_category_of_the_package(pkg: Any) -> None:
    """Its shallow class, with the attributes of the instance."""
    with pytest.warns(pkg.warned.PackageWarning, match="hot") as seen:
        pkg.warned.warn_object("hot", 3)
    assert seen[0].message.level == 3
    assert isinstance(seen[0].message, UserWarning)
    with pytest.warns(pkg.warned.PackageWarning):
        pkg.warned.warn("named", pkg.warned.PackageWarning)


@pytest.mark.parametrize(
    "category",
    [DeprecationWarning, PendingDeprecationWarning, FutureWarning, RuntimeWarning, ImportWarning],
)
def test_every_category_comes_through(pkg: Any, category: type[Warning]) -> None:
    """Whatever Python hides by default: these filters decide, not the server's."""
    with pytest.warns(category, match="some"):
        pkg.warned.warn("some", category)


def test_a_place_in_the_package(pkg: Any, sample: ServedProcess) -> None:
    """With the file, line and source of the server."""
    with pytest.warns(UserWarning) as seen:
        pkg.warned.warn("deep", UserWarning, 1)
    shown = warnings.formatwarning(
        seen[0].message, seen[0].category, seen[0].filename, seen[0].lineno
    )
    assert seen[0].filename.startswith("<wsremote 127.0.0.1:")
    assert seen[0].filename.endswith(">/samplepkg/warned.py")
    assert "warnings.warn(text, category, stacklevel)" in shown


def test_places_further_up(pkg: Any) -> None:
    """Frames of the package are counted there, those of the caller here."""

    def helper() -> None:
        pkg.warned.warn("up", UserWarning, 3)

    with pytest.warns(UserWarning) as seen:
        pkg.warned.inner("inner")  # of the inner one
        helper()  # of the helper
        pkg.warned.warn("far", UserWarning, 1000)
    places = [(each.filename, each.lineno) for each in seen[:2]]
    assert places == [
        (__file__, line_of("# of the " + "inner one")),
        (__file__, line_of("# of the " + "helper")),
    ]


def test_methods_properties_operators_and_constructors(pkg: Any) -> None:
    """Each at the line that asked."""
    warner = pkg.warned.Warner()
    with pytest.warns(UserWarning) as seen:
        warner.method()
        warner.data
        warner + 1
        pkg.warned.Warner(True)
    assert [str(each.message) for each in seen] == ["method", "data", "plus", "made"]
    assert {each.filename for each in seen} == {__file__}


def test_filters_of_this_process_decide(pkg: Any) -> None:
    """Ignored, shown once for a place, or always: each time anew."""
    for action, count in [("ignore", 0), ("default", 1), ("always", 3)]:
        for _ in range(2):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter(action)  # type: ignore[arg-type]
                pkg.warned.repeatedly("again", 3)
            assert len(seen) == count, action
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module="samplepkg")
        pkg.warned.warn("at home", UserWarning, 1)
        pkg.warned.warn("here", UserWarning, 2)
    assert [str(each.message) for each in seen] == ["here"]


def test_an_error_is_raised_by_the_call(pkg: Any) -> None:
    """Instead of its result; the next call is as if nothing had been."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="careful"):
            pkg.warned.warn("careful")
        with pytest.raises(pkg.warned.PackageWarning) as failed:
            pkg.warned.warn_object("hot", 4)
        assert failed.value.level == 4
        # What the call raises later would not have been reached.
        with pytest.raises(UserWarning, match="first"):
            pkg.warned.then_fail("first")
    assert pkg.functions.add(1, 2) == 3
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="after"):
        pkg.warned.then_fail("first")


def test_filters_of_the_package_come_first(pkg: Any) -> None:
    """What it records, handles or shows itself is its own business."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert pkg.warned.quietly("unheard") == 1
        assert pkg.warned.strictly("strict") == "caught strict"
    assert seen == []


def test_once_is_once_for_each_caller(pkg: Any) -> None:
    """The server lives for long: a session does not miss what another one has seen."""
    for _ in range(2):
        with pytest.warns(UserWarning, match="only"):
            pkg.warned.once("only")


def test_in_order_with_what_is_printed(pkg: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing on stderr of the server's formatting."""
    shown: list[str] = []

    def show(message: Any, *_: Any) -> None:
        shown.append(capsys.readouterr().out)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        pkg.warned.between("middle")
    assert shown == ["before\n"]
    out, err = capsys.readouterr()
    assert (out, err) == ("after\n", "")


def test_in_the_thread_of_the_call(pkg: Any) -> None:
    """Also when another thread reads the connection."""
    threads: list[str] = []

    def work() -> None:
        pkg.warned.warn("mine")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *_: threads.append(threading.current_thread().name)
        workers = [threading.Thread(target=work, name=f"worker-{n}") for n in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert sorted(threads) == sorted(worker.name for worker in workers)


def test_a_call_nested_in_a_callback(pkg: Any) -> None:
    """Points at the line of the callback that called."""
    with pytest.warns(UserWarning) as seen:
        pkg.warned.calling(lambda: pkg.warned.warn("nested"))  # in the callback
    assert seen[0].lineno == line_of("# in the " + "callback")


def test_a_warning_of_the_client_inside_a_callback(pkg: Any) -> None:
    """It is here anyway."""
    with pytest.warns(UserWarning, match="local"):
        pkg.warned.calling(lambda: warnings.warn("local", stacklevel=1))


def test_a_plain_process_shows_what_it_would_at_home(sample: ServedProcess, tmp_path: Path) -> None:
    """On stderr, with the line of the script; what Python hides by default is hidden."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, wsremote\n"
        "session = wsremote.connect(sys.argv[1], token=sys.argv[2])\n"
        "warned = session.modules.samplepkg.warned\n"
        "for _ in range(3):\n"
        "    warned.warn('look out')\n"
        "warned.warn('from main', DeprecationWarning)\n"
        "warned.warn('hidden', DeprecationWarning, 1)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), sample.url, sample.token],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == ""
    assert done.stderr == (
        f"{script}:5: UserWarning: look out\n"
        "  warned.warn('look out')\n"
        f"{script}:6: DeprecationWarning: from main\n"
        "  warned.warn('from main', DeprecationWarning)\n"
    )


def test_sessions_get_their_own(sample: ServedProcess, pkg: Any) -> None:
    """A second session's warning is not the first one's."""
    with wsremote.connect(sample.url, token=sample.token, new=True) as other:
        with pytest.warns(UserWarning) as seen:
            other.modules.samplepkg.warned.warn("other")
        with warnings.catch_warnings(record=True) as mine:
            warnings.simplefilter("always")
            assert pkg.functions.add(1, 1) == 2
    assert len(seen) == 1
    assert mine == []
