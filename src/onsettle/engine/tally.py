"""What became of payments since it was last told: one line of the log for both ends."""

from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(slots=True)
class Tally:
    """Counts what one look at the chain confirms and fails."""

    confirmed: int = 0
    failed: int = 0

    def tell(self, block: int) -> None:
        """Log what was counted, as of `block`, and begin again; nothing where nothing was."""
        if self.confirmed or self.failed:
            log.info("confirmed", payments=self.confirmed, failed=self.failed, block=block)
        self.confirmed = self.failed = 0
