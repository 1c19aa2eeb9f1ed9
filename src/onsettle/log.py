"""Logging: lines for people on a terminal, JSON elsewhere; always to stderr."""

import logging
import sys
from typing import Literal

import structlog

Format = Literal["console", "json"]

#: Events that a terminal shows as lines of their own, and how.
_LINES: dict[str, str] = {
    "payment_sent": "📤 Sent payment tx: {payment:.8}... (nonce: {nonce}, tx: {tx:.6}...)",
    "batch_sent": "✅ Batch complete: {payments} succeeded",
    "checking": "🔍 Checking {pending} pending confirmations...",
    "confirmed": "   ✅ {payments} confirmed, ❌ {failed} failed",
    "mint_refused": "⚠️  Payment callback failed: {mints} mints of {token}: {error}",
    "delivery_failed": "⚠️  Payment callback failed: {channel} of {payment}, try {tries}: {error}",
}


def set_up(form: Format | None = None, *, level: int = logging.INFO) -> None:
    """`form` None means by terminal. Logs of libraries take the same way, from WARNING up."""
    if form is None:
        form = "console" if sys.stderr.isatty() else "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(
            fmt="%H:%M:%S" if form == "console" else "iso", utc=form == "json"
        ),
    ]
    if form == "console" and level == logging.INFO:
        # One line for each payment: for whoever watches, too many to keep.
        level = logging.DEBUG
        shared.insert(0, _no_other_details)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: list[structlog.typing.Processor] = (
        [_Console(_people())]
        if form == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("onsettle").setLevel(level)


def into_logging() -> None:
    """For a program that uses us: what we say goes to the loggers `onsettle.*`, if it has set up
    nothing else."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )


def _people() -> structlog.typing.Processor:
    # A traceback without the values of variables: those may be keys.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _no_other_details(
    _: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if method == "debug" and event["event"] not in _LINES:
        raise structlog.DropEvent
    return event


class _Console:
    """Lines for people: the guide's, word for word, and the rest as structlog prints it."""

    def __init__(self, rest: structlog.typing.Processor) -> None:
        self._rest = rest

    def __call__(self, logger: object, method: str, event: structlog.typing.EventDict) -> str:
        line = _LINES.get(str(event.get("event")))
        if line is None or event.get("payments") == 0 == event.get("failed", 0):
            return str(self._rest(logger, method, event))
        return line.format(**{"failed": 0, **event})
