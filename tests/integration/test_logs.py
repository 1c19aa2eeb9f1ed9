"""`onsettle logs --follow`: what happens to payments, as it happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg

from onsettle.local.payers import Payer
from tests.harness.books import accepted, by_hand, running
from tests.harness.commands import onsettle, start
from tests.harness.stack import Stack

_EVENT = "insert into payment_events (payment_id, to_status, reason) values ($1, 'failed', 'test')"


class Told:
    """The lines that a running `onsettle logs --follow` has printed so far."""

    def __init__(self, out: asyncio.StreamReader) -> None:
        self._out = out
        self.lines: list[str] = []

    async def until(self, words: str) -> None:
        """Read on to the line with these words."""
        async with asyncio.timeout(45):
            while not any(words in line for line in self.lines):
                line = await self._out.readline()
                assert line, self.lines
                self.lines.append(line.decode().rstrip())

    def count(self, payment: UUID) -> int:
        return sum(str(payment) in line for line in self.lines)


@asynccontextmanager
async def following(stack: Stack, *options: str) -> AsyncIterator[Told]:
    process = await start(stack.process_environment(), "logs", "--follow", *options)
    assert process.stdout is not None
    try:
        yield Told(process.stdout)
    finally:
        process.terminate()
        await process.communicate()


async def test_the_journal_is_followed_while_a_payment_settles(stack: Stack) -> None:
    """Each of the four moves is told once, the last one only after its block."""
    async with running(stack) as engine, following(stack) as told:
        [payer] = await stack.payers(1)
        await stack.hold_blocks()
        [one] = await accepted(engine, [stack.body(engine, payer)])
        await told.until(f"{one}  processing -> sent")
        assert not any("completed" in line for line in told.lines)
        await stack.mine()
        await told.until(f"{one}  sent -> completed  landed")
        moves = [line.split("  ")[2] for line in told.lines if str(one) in line]
        assert moves == [
            "new -> pending", "pending -> processing", "processing -> sent", "sent -> completed",
        ]  # fmt: skip


async def test_a_line_that_commits_after_a_later_one_is_told_too(stack: Stack) -> None:
    """Numbers are given out before the commit: what several workers write at once shows up in
    any order, and every line is told once, also of those that failed."""
    first, slow, quick, last = (uuid4() for _ in range(4))
    async with running(stack, start=False), following(stack, "--lines", "1") as told:
        writer = await asyncpg.connect(stack.dsn)
        try:
            await by_hand(stack, _EVENT, first)
            await told.until(str(first))
            transaction = writer.transaction()
            await transaction.start()
            await writer.execute(_EVENT, slow)
            await by_hand(stack, _EVENT, quick)
            await told.until(str(quick))
            assert told.count(slow) == 0
            await transaction.commit()
        finally:
            await writer.close()
        await told.until(str(slow))
        await by_hand(stack, _EVENT, last)
        await told.until(str(last))
        assert [told.count(each) for each in (first, slow, quick, last)] == [1] * 4


async def test_failures_alone_can_be_followed(stack: Stack) -> None:
    """`--failed --follow` begins with what failed, goes on with what fails, and leaves out the
    rest."""
    async with running(stack) as engine:
        before, after = Payer(), Payer()  # without money
        [rich] = await stack.payers(1)
        [failed] = await accepted(engine, [stack.body(engine, before)])
        await stack.all_are(engine, [failed], "failed")
        async with following(stack, "--failed") as told:
            await told.until(f"{failed}  pending -> failed")
            [paid] = await accepted(engine, [stack.body(engine, rich)])
            await stack.all_are(engine, [paid], "completed")
            [failed_too] = await accepted(engine, [stack.body(engine, after)])
            await told.until(f"{failed_too}  pending -> failed")
            assert [told.count(each) for each in (failed, paid, failed_too)] == [1, 0, 1]


async def test_one_document_can_not_be_followed(stack: Stack) -> None:
    """`--json` ends, so `--follow` beside it is refused, with a word about which to leave out."""
    answer = await onsettle(stack.process_environment(), "logs", "--json", "--follow")
    assert answer.code == 2
    assert "leave --follow out" in answer.err
    assert answer.out == ""
