"""Named points just before and just after every commit and every outside effect.

They do nothing, unless a test arms one: `ONSETTLE_POINT=kill:<name>` ends this process there as a
power cut would (SIGKILL), `stop:<name>` freezes it there (SIGSTOP); `<name>#3`: at the third time;
`<name>@<file>`: not before there is such a file.
`trace:<file>` writes down which points are reached, each once.
The names need no list: a transaction is named by the function that opens it, a single statement by
its query, a call to the outside by what it does; `:before` and `:after` tell the two sides.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class _Armed:
    """What is to happen, and where."""

    def __init__(self, text: str) -> None:
        self._how, _, self._where = text.partition(":")
        point, _, mark = self._where.partition("@")
        self._mark = Path(mark) if mark else None
        self._name, _, times = point.partition("#")
        self._left = int(times or 1)
        self._seen: set[str] = set()

    def reached(self, name: str) -> None:
        if self._how == "trace":
            self._trace(name)
        elif name == self._name and (self._mark is None or self._mark.exists()):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), _SIGNALS[self._how])

    def _trace(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            with Path(self._where).open("a") as file:
                file.write(f"{name}\n")


_armed: _Armed | None = None


def arm() -> None:
    """Take what ONSETTLE_POINT says; done at the start of a process."""
    global _armed  # noqa: PLW0603
    text = os.environ.get("ONSETTLE_POINT")
    _armed = _Armed(text) if text else None


arm()


def reached(name: str) -> None:
    """This process is at the point `name`."""
    if _armed is not None:
        _armed.reached(name)


@contextmanager
def around(name: str) -> Iterator[None]:
    """The points before and after something that can't be taken back."""
    reached(f"{name}:before")
    yield
    reached(f"{name}:after")


def caller() -> str:
    """`module.Class.function` of whoever called the function that asks; only while armed."""
    if _armed is None:
        return ""
    frame = sys._getframe(2)
    module = str(frame.f_globals.get("__name__", "")).rpartition(".")[2]
    return f"{module}.{frame.f_code.co_qualname}"
