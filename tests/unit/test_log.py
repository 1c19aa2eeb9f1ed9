"""What the log must never show, and where it goes."""

import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from onsettle.engine.tally import Tally
from onsettle.log import into_logging, set_up


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = logging.getLogger("onsettle").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("onsettle").setLevel(ours)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_no_values(
    form: Literal["console", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    """A key in a variable of a failing function does not reach the log."""
    set_up(form)
    private_key = "0x" + "".join(["5e", "c2"] * 16)
    try:
        raise ValueError("it broke")
    except ValueError:
        structlog.get_logger("onsettle.test").exception("loop_failed")
    said = capsys.readouterr().err
    assert "it broke" in said
    assert "Traceback" in said
    assert private_key[2:10] not in said


def test_what_one_look_confirmed_and_failed_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As the guide prints it; counted anew after each, and silent when nothing was decided."""
    set_up("console")
    tally = Tally(confirmed=18, failed=2)
    tally.tell(7)
    tally.tell(8)
    tally.failed += 1
    tally.tell(9)
    assert capsys.readouterr().err.splitlines() == [
        "   ✅ 18 confirmed, ❌ 2 failed",
        "   ✅ 0 confirmed, ❌ 1 failed",
    ]


def test_what_follows_a_payment_and_fails_is_found_by_the_guides_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`grep "Payment callback failed"` finds mints that are refused and messages that do not
    arrive."""
    set_up("console")
    log = structlog.get_logger("onsettle.test")
    log.warning("mint_refused", token="0xt", mints=3, error="Paused()")
    log.warning(
        "delivery_failed", channel="webhook", payment="a-b", tries=2, again_in_s=1, error="410"
    )
    assert capsys.readouterr().err.splitlines() == [
        "⚠️  Payment callback failed: 3 mints of 0xt: Paused()",
        "⚠️  Payment callback failed: webhook of a-b, try 2: 410",
    ]


def test_a_program_that_uses_us_hears_us_by_standard_logging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed by us; its own set-up of structlog is left alone."""
    structlog.reset_defaults()
    into_logging()
    with caplog.at_level(logging.INFO, logger="onsettle"):
        structlog.get_logger("onsettle.test").info("confirmed", payments=3)
    assert caplog.records[-1].getMessage() == "event='confirmed' payments=3"
    assert capsys.readouterr().out == ""
    structlog.configure(processors=[])
    into_logging()
    assert structlog.get_config()["processors"] == []
