"""What the demo shows on a terminal: live counts, the log above them, and a table at the end."""

import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from onsettle.domain.payment import PaymentStatus
from onsettle.log import set_up

_WIDTH = 40
_COLOURS = {
    PaymentStatus.PENDING: "yellow",
    PaymentStatus.PROCESSING: "yellow",
    PaymentStatus.SENT: "cyan",
    PaymentStatus.COMPLETED: "green",
    PaymentStatus.FAILED: "red",
    PaymentStatus.CONFIRMATION_FAILED: "red",
}


class Screen:
    """A terminal while the demo runs; `quiet` prints nothing at all."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False)
        self._quiet = quiet
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._shown: object = None
        self._is_live = self._console.is_terminal and not quiet

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        # After that, so that the log's lines go above what is live.
        set_up("console", level=logging.ERROR if self._quiet else logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.clear()
        self._live.stop()

    def say(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style))

    def progress(self, title: str, counts: Mapping[str, int], total: int, minted: int) -> None:
        """Show where all payments of a round are."""
        shown = (title, dict(counts), total, minted)
        if not self._is_live or shown == self._shown:
            return
        self._shown = shown
        table = Table.grid(padding=(0, 1))
        rows = [(s.value, counts.get(s.value, 0), _COLOURS[s]) for s in PaymentStatus]
        for name, count, colour in [*rows, ("minted", minted, "magenta")]:
            table.add_row(name, str(count), Text("█" * (_WIDTH * count // max(total, 1)), colour))
        whole = Table.grid()
        whole.add_row(Text(f"\n{title}", "bold"))
        whole.add_row(table)
        self._live.update(whole, refresh=True)

    def clear(self) -> None:
        if self._is_live:
            self._live.update(Text(), refresh=True)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table()
        for at, heading in enumerate(headings):
            table.add_column(heading, justify="right" if at else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)
