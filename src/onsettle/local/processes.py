"""Whether a process whose number was written down is still the program that wrote it."""

import os
import subprocess
from pathlib import Path

_PROC = Path("/proc/self/cmdline").exists()


def exists(pid: int) -> bool:
    """Whether any process has this number; a dead one that nobody waited for has it too."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def runs(pid: int, program: str, *arguments: str) -> bool:
    """Whether this process lives and is `program`, started with these: numbers are used again."""
    words = _command_line(pid)
    return bool(words) and Path(words[0]).name == program and set(arguments) <= set(words)


def _command_line(pid: int) -> list[str]:
    if not _PROC:
        asked = ["ps", "-o", "command=", "-p", str(pid)]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    try:
        # A dead process that nobody has waited for has an empty command line.
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return []
