"""The whole product once, for real: database, chain, signatures, mints, audit."""

import json
import os
import pty
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from onsettle.domain.payment import PaymentStatus
from tests.harness.processes import ONSETTLE, bare_environment

_KEYS = [
    "payments", "completed", "refused", "failed", "duplicates", "mints_completed",
    "blocks_to_sent", "blocks_to_completed",
    "seconds_to_sent", "seconds_to_completed", "per_minute", "gas_per_payment", "sync", "verify_ok",
]  # fmt: skip


@pytest.mark.timeout(240)
def test_the_demo_settles_and_mints_every_good_payment(tmp_path: Path) -> None:
    """Fifty payments are sent before a second block, complete, and mint once each; in sync mode
    too, which takes at least four times the blocks. The bad ones are told apart; the books agree.
    """
    run = subprocess.run(
        [ONSETTLE, "demo", "--json"],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    result = json.loads(run.stdout)
    assert list(result) == _KEYS
    counts = {name: result[name] for name in _KEYS[:6]}
    assert counts == {
        "payments": 50, "completed": 50, "refused": 1, "failed": 1, "duplicates": 1,
        "mints_completed": 50,
    }  # fmt: skip
    assert result["verify_ok"] is True
    sync = result["sync"]
    assert list(sync) == [
        "completed", "mints_completed", "blocks_to_completed", "seconds_to_completed", "per_minute",
    ]  # fmt: skip
    assert (sync["completed"], sync["mints_completed"]) == (50, 50)
    # Blocks, not seconds: a machine that is busy makes both later.
    assert result["blocks_to_sent"] <= 1
    assert sync["blocks_to_completed"] >= 5  # ten at a time
    assert sync["blocks_to_completed"] >= 4 * result["blocks_to_completed"]
    assert run.stderr == ""


@pytest.mark.timeout(240)
def test_a_terminal_shows_the_guides_lines_and_a_table(tmp_path: Path) -> None:
    """The four log lines stand there word for word, and the end says what was measured."""
    code, shown = _on_a_terminal([ONSETTLE, "demo", "--payments", "3"], tmp_path)
    assert code == 0, shown[-3000:]
    lines = [line.rstrip() for line in shown.splitlines()]
    sent = re.compile(
        r"📤 Sent payment tx: [0-9a-f]{8}\.\.\. \(nonce: \d+, tx: 0x[0-9a-f]{4}\.\.\.\)"
    )
    assert sum(bool(sent.fullmatch(line)) for line in lines) == 6
    for line in ("✅ Batch complete: 3 succeeded", "   ✅ 3 confirmed, ❌ 0 failed"):
        assert lines.count(line) == 2, line
    # Once for each block: one may be made before it has the payments.
    assert lines.count("🔍 Checking 3 pending confirmations...") >= 2
    for words in ("expired: refused", "overdrawn: failed", "submitted twice", "gas per payment"):
        assert words in shown
    assert "the books and the chain agree" in shown
    # Live: where all payments of a round are, from the first look to the last.
    for title, failed in (("async", 1), ("sync", 0)):
        seen = [counts for name, counts in _frames(shown) if name == title]
        assert all(sum(counts[:-1]) == 3 + failed for counts in seen), seen
        assert seen[0] != seen[-1] == [0, 0, 0, 3, failed, 0, 3]


_FRAME = re.compile(
    r"^(async|sync) *\n+"
    + r"\n+".join(
        rf"{status} +(\d+) +█* *$"
        for status in (*(status.value for status in PaymentStatus), "minted")
    ),
    re.MULTILINE,
)


def _frames(shown: str) -> list[tuple[str, list[int]]]:
    """Each picture of a round: its title, the count of each status, and what is minted."""
    return [(name, [int(n) for n in counts]) for name, *counts in _FRAME.findall(shown)]


def _on_a_terminal(command: list[str], folder: Path) -> tuple[int, str]:
    """Run it where it can see a terminal: its exit code, and what the terminal showed."""
    ours, its = pty.openpty()
    environment: dict[str, Any] = {**bare_environment(), "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its
    ) as process:
        os.close(its)
        shown: list[bytes] = []

        def read() -> None:
            try:
                while block := os.read(ours, 65536):
                    shown.append(block)
            except OSError:  # how a terminal says that everyone has left
                pass

        reader = threading.Thread(target=read)
        reader.start()
        code = process.wait(200)
        reader.join(10)
    os.close(ours)
    text = b"".join(shown).decode(errors="replace")
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")
