"""The set-up: locks that name no host, a Python that works, programs that are found."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from onsettle.local import binaries

ROOT = Path(__file__).resolve().parents[2]
MADE_HERE = {".git", ".venv", "node_modules", "build", "dist", "__pycache__"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in MADE_HERE and not path.name.endswith("_cache"):
                yield from files(path)
        else:
            yield path


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class TestLocks:
    @pytest.mark.parametrize("name", ["requirements.lock", "requirements-node.lock"])
    def test_every_requirement_is_pinned_and_hashed(self, name: str) -> None:
        entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
        requirements = [entry for entry in entries if not entry.lstrip().startswith("#")]
        assert requirements
        assert [it for it in requirements if not re.match(r"[a-z0-9-]+==\S+ .*--hash=", it)] == []

    def test_every_dependency_is_in_the_lock(self) -> None:
        locked = set(
            re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
        )
        declared = {re.split(r"[><=;\[ ]", it)[0] for it in PROJECT["dependencies"]}
        assert declared - locked == set()

    def test_npm_packages_have_integrity_and_no_address(self) -> None:
        packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
        fetched = [package for path, package in packages.items() if path]
        assert fetched
        assert all("integrity" in package for package in fetched)
        assert not any("resolved" in package for package in fetched)

    def test_no_file_names_the_host_of_a_package_registry(self) -> None:
        # Put together here, so that this file doesn't name one either.
        hosts = [bytes(".".join(it), "ascii") for it in (("pypi", "org"), ("npmjs", "org"))]
        hosts += [b"python" + b"hosted", b"deb." + b"debian"]
        naming = [path for path in files(ROOT) if any(host in path.read_bytes() for host in hosts)]
        assert naming == []


class TestPackage:
    def test_what_the_code_imports_is_declared(self) -> None:
        distributions = packages_distributions()
        declared = {canonical(re.split(r"[><=;\[ ]", it)[0]) for it in PROJECT["dependencies"]}
        undeclared = {
            module
            for path in files(ROOT / "src")
            if path.suffix == ".py"
            for module in _imports(path)
            if module not in sys.stdlib_module_names and module != "onsettle"
            if not declared & {canonical(name) for name in distributions.get(module, [])}
        }
        assert undeclared == set()

    def test_the_wheel_holds_every_file_of_the_package(self, tmp_path: Path) -> None:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        (wheel,) = tmp_path.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist() if name.startswith("onsettle/")}
        assert packed == {str(path.relative_to(ROOT / "src")) for path in files(ROOT / "src")}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


class TestMake:
    def test_help_is_the_default_and_lists_the_targets(self) -> None:
        listed = subprocess.run(
            ["make", "-s"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert {"install", "demo", "test", "check"} <= {
            line.split()[1] for line in listed.stdout.splitlines()
        }

    def test_ci_runs_by_itself(self) -> None:
        run = ROOT / ".ci" / "run"
        assert os.access(run, os.X_OK)
        subprocess.run(["bash", "-n", run], check=True)


class TestFindPython:
    """`scripts/find-python` trusts no name: it runs each candidate."""

    def find(self, path: Path, python: str = "") -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{path}:/usr/bin:/bin" if python else str(path), "PYTHON": python}
        script = ROOT / "scripts" / "find-python"
        return subprocess.run(
            ["/bin/sh", script], env=env, check=False, capture_output=True, text=True
        )

    def program(self, folder: Path, name: str, body: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A PATH with nothing but what the script itself runs."""
        self.program(tmp_path, "tail", 'exec /usr/bin/tail "$@"')
        return tmp_path

    def test_a_shim_that_cannot_start_is_passed_over(self, path: Path) -> None:
        self.program(path, "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
        self.program(path, "python3.12", f'exec {sys.executable} "$@"')
        found = self.find(path)
        assert (found.returncode, found.stdout.strip()) == (0, sys.executable)

    def test_what_was_tried_is_told_when_nothing_fits(self, path: Path) -> None:
        self.program(path, "python3.12", "echo 'has no venv' >&2; exit 1")
        self.program(path, "python3", "echo 'is Python 3.9' >&2; exit 1")
        found = self.find(path)
        assert found.returncode == 1
        assert f"{path}/python3.12: has no venv" in found.stderr
        assert f"{path}/python3: is Python 3.9" in found.stderr
        assert "PYTHON=" in found.stderr

    def test_a_python_that_is_named_is_the_only_candidate(self, path: Path) -> None:
        self.program(path, "python3.13", f'exec {sys.executable} "$@"')
        found = self.find(path, python="no-such-python")
        assert found.returncode == 1
        assert "PYTHON=no-such-python" in found.stderr
        assert self.find(path, python=sys.executable).stdout.strip() == sys.executable


class TestBinaries:
    def test_anvil_is_found_and_runs(self) -> None:
        version = subprocess.run(
            [binaries.find_anvil(), "--version"], check=True, capture_output=True, text=True
        )
        assert "anvil" in version.stdout.lower()

    def test_postgres_is_found_and_has_the_version_that_data_folders_need(self) -> None:
        version = subprocess.run(
            [binaries.find_postgres_bin() / "postgres", "--version"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert f"PostgreSQL) {binaries.POSTGRES_MAJOR}." in version.stdout

    @pytest.mark.parametrize(
        ("variable", "find"),
        [
            ("ONSETTLE_ANVIL", binaries.find_anvil),
            ("ONSETTLE_POSTGRES_BIN", binaries.find_postgres_bin),
        ],
    )
    def test_a_program_that_is_named_but_absent_is_an_error(
        self,
        variable: str,
        find: Callable[[], Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(variable, str(tmp_path / "absent"))
        with pytest.raises(binaries.MissingProgramError, match=variable):
            find()

    def test_the_named_programs_are_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("anvil", "postgres"):
            (tmp_path / name).touch(mode=0o755)
        monkeypatch.setenv("ONSETTLE_ANVIL", str(tmp_path / "anvil"))
        monkeypatch.setenv("ONSETTLE_POSTGRES_BIN", str(tmp_path))
        assert binaries.find_anvil() == tmp_path / "anvil"
        assert binaries.find_postgres_bin() == tmp_path

    def test_a_machine_without_anvil_is_told_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ONSETTLE_ANVIL", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(binaries, "_anvils_of_the_project", lambda: iter(()))
        with pytest.raises(binaries.MissingProgramError, match="ONSETTLE_ANVIL"):
            binaries.find_anvil()
