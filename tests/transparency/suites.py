"""A suite: a package, the tests its authors wrote, and the environments that run them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

__all__ = ["Suite", "environment", "extracted", "load_suites", "made_environment"]

TOOLS = ("pytest==8.4.2", "pytest-timeout==2.4.0")


@dataclass(frozen=True)
class Suite:
    """One entry of `suites.toml`; its comments say what the fields mean."""

    name: str
    requirement: str
    packages: list[str]
    extract: dict[str, str]
    files: list[str]
    archive: str = "sdist"
    needs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def load_suites(path: Path, wanted: list[str]) -> list[Suite]:
    """The suites of a file, or those of these names."""
    suites = [Suite(**entry) for entry in tomllib.loads(path.read_text())["suite"]]
    unknown = set(wanted) - {suite.name for suite in suites}
    if unknown:
        names = ", ".join(suite.name for suite in suites)
        raise SystemExit(f"{path.name} has no suite {', '.join(unknown)}; it has {names}")
    return [suite for suite in suites if not wanted or suite.name in wanted]


def environment() -> dict[str, str]:
    """The variables of all processes: nothing of the caller's Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST_"))}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}


def made_environment(work: Path, project: Path, requirements: list[str]) -> Path:
    """The Python of a virtual environment with these and this project; made once.

    Args:
        work: Where environments are kept.
        project: A checkout of wsremote, installed as it is there.
        requirements: For pip.
    """
    metadata = (project / "pyproject.toml").read_text()
    key = _digest(sys.version, str(project), metadata, *requirements)
    root = work / "environments" / key
    python = root / "bin" / "python"
    if not (root / "ready").exists():
        shutil.rmtree(root, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(root))
        _run(str(python), "-m", "pip", "install", "-q", *TOOLS, *requirements, "-e", str(project))
        (root / "ready").touch()
    return python


def extracted(work: Path, suite: Suite) -> Path:
    """A folder with the suite's tests, and nothing that could be imported as the package."""
    root = work / "tests" / _digest(repr(suite))
    if not (root / "ready").exists():
        shutil.rmtree(root, ignore_errors=True)
        archive = _downloaded(root / "archive", suite)
        for name, data in _members(archive):
            place = _place(name, suite)
            if place is not None:
                (root / "t" / place).parent.mkdir(parents=True, exist_ok=True)
                (root / "t" / place).write_bytes(data)
        (root / "t" / "pytest.ini").write_text("[pytest]\n")
        if any((root / "t" / name).exists() for name in suite.packages):
            raise SystemExit(f"{suite.name}: the package itself is among the extracted tests")
        (root / "ready").touch()
    return root / "t"


def _downloaded(folder: Path, suite: Suite) -> Path:
    """The archive that the tests are in."""
    which = "--no-binary" if suite.archive == "sdist" else "--only-binary"
    options = ["-q", "--no-deps", which, ":all:", "-d", str(folder)]
    _run(sys.executable, "-m", "pip", "download", *options, suite.requirement)
    return next(folder.iterdir())


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an archive's files."""
    if archive.name.endswith(".tar.gz"):
        with tarfile.open(archive) as tar:
            for member in tar:
                data = tar.extractfile(member)
                if data is not None:
                    # The archive's own top folder.
                    yield member.name.partition("/")[2], data.read()
    else:
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    yield info.filename, packed.read(info)


def _place(name: str, suite: Suite) -> str | None:
    """Where a file of the archive goes; None if it is no test."""
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        return None
    # The longest folder first: one may be inside another.
    for source in sorted(suite.extract, key=len, reverse=True):
        if name.startswith(f"{source}/"):
            return suite.extract[source] + name[len(source) :]
    return None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _run(*command: str) -> None:
    """Run a command; what it says is shown if it fails."""
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
