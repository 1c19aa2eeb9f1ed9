"""Where Python's processor time goes: a look at the stacks each time some of it was used.

The timer runs on the processor time of the process, so that waiting is never counted.
"""

import signal
import sys
import threading
from collections import Counter
from types import FrameType

# Of processor time, between two looks.
_EVERY_S = 0.005
_PACKAGE = "onsettle."
_OWN = __name__
#: Whoever has none of our functions on its stack: the event loop and what it calls by itself.
ELSEWHERE = "the event loop, sockets and drivers"


class Sampler:
    """Counts by function: the innermost of ours, with the libraries that it calls."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def start(self) -> None:
        """From now on; in the main thread only."""
        self.seen.clear()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, _: int, frame: FrameType | None) -> None:
        found = _ours(frame)
        if found is None:
            # The main thread runs this, whichever thread used the time.
            own = threading.get_ident()
            others = (f for thread, f in sys._current_frames().items() if thread != own)
            found = next((name for f in others if (name := _ours(f)) is not None), ELSEWHERE)
        self.seen[found] += 1


def shares(seen: Counter[str], seconds: float, payments: int) -> list[dict[str, object]]:
    """Each function's part of `seconds` of processor time, in µs per payment; the longest first."""
    looks = sum(seen.values())
    return [
        {"function": name, "us_per_payment": round(count / looks * seconds / payments * 1e6, 1)}
        for name, count in seen.most_common()
    ]


def _ours(frame: FrameType | None) -> str | None:
    """`module.function` of the innermost function of this package on a stack."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_PACKAGE) and module != _OWN and not _frames_all(module):
            return f"{module.removeprefix(_PACKAGE)}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return None


def _frames_all(module: str) -> bool:
    """Under these everything runs: they tell nothing."""
    return module.startswith(("onsettle.cli", "onsettle.local.bench"))
