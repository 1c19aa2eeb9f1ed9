"""Every entry of docs/runbook.md: its situation is made, its commands are typed."""

import re
import secrets
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from onsettle.engine import confirmer
from onsettle.engine.janitor import Janitor
from onsettle.engine.request import Refused
from onsettle.local.payers import Payer
from onsettle.runtime import Engine
from tests.acceptance import guide
from tests.harness.books import (
    LogLines,
    accepted,
    alarms,
    becomes,
    by_hand,
    in_force,
    obeyed,
    payment,
    quick,
)
from tests.harness.commands import Answer, onsettle
from tests.harness.moves import ahead, by_key, drop, owner_says, pool_hashes, transfer_of
from tests.harness.older import OlderServer
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack, eventually, only_network

_ROOT = Path(__file__).parents[2]
#: These tell by their exit code that something is wrong, and here something is.
_TELLING = ("doctor", "verify", "retry")


def entries() -> dict[str, list[list[str]]]:
    """The commands of each entry."""
    text = (_ROOT / "docs" / "runbook.md").read_text("utf-8")
    found = {}
    for entry in text.split("\n## ")[1:]:
        blocks = re.findall(r"```bash\n(.*?)```", entry, flags=re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines() if line.strip()]
        found[entry.splitlines()[0]] = [shlex.split(line) for line in lines]
    return found


@dataclass(slots=True)
class Scene:
    """The situation of an entry: a running engine, and what the commands are about."""

    stack: Stack
    engine: Engine
    payer: Payer
    proxy: FaultProxy
    #: A database with nothing in it.
    empty: str
    log: LogLines
    ids: list[UUID] = field(default_factory=list)
    said: dict[str, Answer] = field(default_factory=dict)
    #: What is looked at when a command has ended, by its first two words.
    then: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    #: Of the commands' environment.
    more: dict[str, str] = field(default_factory=dict)

    async def sent(self) -> None:
        """A payment that a node has and no block holds."""
        await self.stack.hold_blocks()
        body = self.stack.body(self.engine, self.payer)
        self.ids = await accepted(self.engine, [body])
        await self.stack.all_are(self.engine, self.ids, "sent")

    async def type(self, command: list[str]) -> None:
        assert command[0] == "onsettle"
        known = {"<payment>": str(self.ids[0]) if self.ids else "", "<wallet>": self.wallet}
        words = [known.get(word, word) for word in command[1:]]
        answer = await onsettle(self.stack.process_environment(**self.more), *words)
        if words[0] in _TELLING:
            assert answer.code in (0, 1, 3), (words, answer)
            assert "Traceback" not in answer.err
        else:
            answer.ok()
        name = " ".join(words[:2])
        self.said[name] = answer
        if name in self.then:
            await self.then.pop(name)()

    async def pay(self, payers: int) -> list[UUID]:
        """Payments of so many new payers, who are funded in a block."""
        found = await self.stack.payers(payers)
        ids = await accepted(self.engine, [self.stack.body(self.engine, each) for each in found])
        self.ids += ids
        return ids

    async def waits(self, words: str) -> None:
        """A loop has logged that it waits for this."""

        async def logged() -> bool:
            return any(
                line["event"] == "loop_waits" and words in line["problem"] for line in self.log
            )

        await eventually(logged)

    @property
    def wallet(self) -> str:
        return self.stack.wallets[0]


Made = AsyncIterator[None]
SCENES: dict[str, Callable[[Scene], Made]] = {}


def scene(title: str) -> Callable[[Callable[[Scene], Made]], Callable[[Scene], Made]]:
    def keep(make: Callable[[Scene], Made]) -> Callable[[Scene], Made]:
        SCENES[title] = make
        return make

    return keep


@scene("Payments stay in `sent`")
async def _stuck(now: Scene) -> Made:
    await now.sent()
    old = "update payment_queue set processed_at = processed_at - interval '11 minutes'"
    await by_hand(now.stack, old)
    yield
    assert "is not mined after" in now.said["stuck --older-than"].out
    assert "sent -> wait" in now.said["reset-stuck --older-than"].out


@scene("Payments were marked as failed by hand")
async def _marked(now: Scene) -> Made:
    await now.sent()
    await by_hand(now.stack, guide.ROLLBACK)
    row = await payment(now.engine, now.ids[0])
    await drop(now.stack, [row["tx_hash"]])
    foreign = by_key(now.stack.keys[0], only_network(now.engine).chain_id, 0)
    await now.stack.rpc.call("eth_sendRawTransaction", foreign)
    await now.stack.mine()

    async def gone() -> bool:
        found = await now.engine.db.fetch("recovery_payments", now.ids)
        return bool(found[0]["live"] is None)

    await eventually(gone)
    yield
    assert "onsettle reset-stuck" in now.said["status"].out
    assert "failed -> retry" in now.said["reset-stuck --yes"].out


@scene("Many payments end as `confirmation_failed`")
async def _timed_out(now: Scene) -> Made:
    await in_force(now.stack, now.engine, payment_confirmation_timeout_ms=1000)
    await now.stack.hold_blocks()
    now.ids = await accepted(now.engine, [now.stack.body(now.engine, now.payer)])
    await becomes(now.engine, now.ids[0], "confirmation_failed", "timeout")
    yield
    assert "timeout" in now.said["logs --failed"].out
    assert "confirmation_failed -> wait" in now.said["retry --status"].out


@scene("Mints do not follow")
async def _unminted(now: Scene) -> Made:
    await owner_says(now.stack, now.stack.mint_token, "setPaused(bool)", True)
    now.ids = await accepted(now.engine, [now.stack.body(now.engine, now.payer)])

    async def tried() -> bool:
        rows = await now.engine.db.pool.fetch("select retry_count from mint_queue")
        return bool(rows and rows[0]["retry_count"])

    await eventually(tried)
    yield
    assert "pending" in now.said["mints list"].out
    assert "would revert" in now.said["doctor"].out
    assert "pending -> retry" in now.said["mints retry"].out
    await owner_says(now.stack, now.stack.mint_token, "setPaused(bool)", False)
    await now.stack.all_minted(now.engine, 1)


@scene("Stop everything")
async def _stop(now: Scene) -> Made:
    payers = await now.stack.payers(2)
    await now.sent()
    [out] = now.ids
    await in_force(now.stack, now.engine, payment_mode="sync")
    bodies = [now.stack.body(now.engine, each) for each in payers]
    waiting = await accepted(now.engine, bodies)
    now.ids += waiting

    async def paused() -> None:
        await obeyed(now.engine, payments_paused=True)
        await in_force(now.stack, now.engine, payment_mode="async")
        [refused] = await now.engine.intake.submit_many([now.stack.body(now.engine, now.payer)])
        assert isinstance(refused, Refused)
        await now.stack.mine()
        await now.stack.all_are(now.engine, [out], "completed")

    now.then["pause --yes"] = paused
    yield
    assert "payments are paused, 2 wait" in now.said["status"].out
    assert now.said["psql -c"].out.split() == ["count", "-------", "2", "(1", "row)"]
    await now.stack.all_are(now.engine, waiting, "sent")


@scene("Back to one batch at a time")
async def _sync(now: Scene) -> Made:
    await in_force(now.stack, now.engine, payment_batch_size=1)
    await now.sent()

    async def done() -> bool:
        """With a block for whatever is out."""
        found = await now.stack.statuses(now.engine, now.ids)
        assert found.count("sent") + found.count("processing") <= 1, found
        if "sent" in found:
            await now.stack.mine()
        return set(found) == {"completed"}

    async def one_by_one() -> None:
        await obeyed(now.engine, payment_mode="sync")
        await now.pay(2)
        await eventually(done)

    now.then["settings payment_mode"] = one_by_one
    yield
    await obeyed(now.engine, payment_mode="async")
    await now.stack.all_are(now.engine, await now.pay(3), "sent")


@scene("The queue grows, or the node complains about our rate")
async def _rate(now: Scene) -> Made:
    limit = now.proxy.script("rate_limit", amount=0.1)
    await now.waits("429")
    now.proxy.stop(limit)
    await in_force(now.stack, now.engine, payment_batch_interval_ms=600_000)
    payers = await now.stack.payers(2)
    await now.sent()
    bodies = [now.stack.body(now.engine, each) for each in payers]
    waiting = await accepted(now.engine, bodies)
    assert await now.stack.statuses(now.engine, waiting) == ["pending"] * 2
    yield
    await obeyed(now.engine, rpc_requests_per_second=200, payment_batch_size=100)
    await now.stack.all_are(now.engine, waiting, "sent")
    now.ids += waiting


@scene('"nonce too low", or the alarm `foreign_pending`')
async def _foreign(now: Scene) -> Made:
    await now.stack.hold_blocks()
    foreign = by_key(now.stack.keys[0], only_network(now.engine).chain_id, 0)
    await now.stack.rpc.call("eth_sendRawTransaction", foreign)
    now.ids = await accepted(now.engine, [now.stack.body(now.engine, now.payer)])

    async def told() -> bool:
        return bool(await alarms(now.engine, "foreign_pending"))

    await eventually(told)
    yield
    assert "foreign_pending" in now.said["alarms"].out
    assert "not ours" in now.said["doctor"].out


@scene("The alarms `asset_unavailable` and `mint_token_unavailable`")
async def _no_token(now: Scene) -> Made:
    now.ids = await accepted(now.engine, [now.stack.body(now.engine, now.payer)])
    nothing = "0x" + "77" * 20
    assets = f"{now.stack.asset},{nothing}"
    async with now.stack.engine(start=False, assets=assets, mint_tokens=nothing):
        yield
    assert f"asset_unavailable       {nothing}" in now.said["alarms"].out
    assert f"mint_token_unavailable  {nothing}" in now.said["alarms"].out
    assert "asset_unavailable" in now.said["doctor"].out


@scene('"replacement transaction underpriced", or a transaction that nobody mines')
async def _dear(now: Scene) -> Made:
    await now.sent()
    yield
    await obeyed(now.engine, max_fee_gwei=800)


@scene("A gap in the nonces")
async def _gap(now: Scene) -> Made:
    payers = await now.stack.payers(2)
    await now.stack.hold_blocks()
    now.proxy.script("ok_but_dropped", "eth_sendRawTransaction", times=1)
    for each in payers:
        now.ids += await accepted(now.engine, [now.stack.body(now.engine, each)])
        await now.stack.all_are(now.engine, now.ids, "sent")
    out = [(await payment(now.engine, each))["tx_hash"] for each in now.ids]
    assert await pool_hashes(now.stack, now.wallet) == out[1:]
    yield
    assert now.said["verify"].code == 0
    await in_force(now.stack, now.engine, fee_bump_after_ms=1000)

    async def whole() -> bool:
        return await pool_hashes(now.stack, now.wallet) == out

    await eventually(whole)


@scene("A wallet has no gas")
async def _dry(now: Scene) -> Made:
    await now.stack.rpc.call("anvil_setBalance", now.wallet, "0x0")
    now.ids = await accepted(now.engine, [now.stack.body(now.engine, now.payer)])

    async def dry() -> bool:
        rows = await now.engine.db.fetch("wallets_list", None)
        return any(row["needs_balance"] is not None for row in rows)

    await eventually(dry)
    yield
    line = f"wallet {now.wallet} \\(payment\\): .*needs (\\d+) wei, has 0"
    needs = re.search(line, now.said["status"].out)
    assert needs is not None, now.said["status"].out
    assert f"needs {needs[1]} wei, has 0: top it up" in now.said["status"].out
    assert needs[1] in now.said["wallets"].out
    assert now.wallet in now.said["stuck"].out
    assert "send it gas money" in now.said["doctor"].out
    await now.stack.rpc.call("anvil_setBalance", now.wallet, hex(int(needs[1])))


@scene("The alarm `wallet_without_key`")
async def _unkeyed(now: Scene) -> Made:
    await now.sent()
    await now.engine.stop()

    async def standing(count: int) -> bool:
        await Janitor(now.engine.db).tick()
        return len(await alarms(now.engine, "wallet_without_key")) == count

    async with now.stack.engine(payment_keys="0x" + secrets.token_hex(32)):
        await eventually(lambda: standing(1))
        yield
    assert f"wallet_without_key  {now.wallet}" in now.said["alarms"].out
    assert now.wallet in now.said["wallets"].out
    async with now.stack.engine():
        await eventually(lambda: standing(0))
        await now.stack.release_blocks()
        await now.stack.all_are(now.engine, now.ids, "completed")


@scene("A node is down, lags behind or disagrees")
async def _node(now: Scene) -> Made:
    await now.sent()
    now.proxy.script("drop")
    await now.waits("RpcUnavailable")
    await now.stack.mine()
    yield
    assert f"FAIL endpoint {now.proxy.url}" in now.said["doctor"].out
    assert now.said["doctor"].code == 1
    assert await now.stack.statuses(now.engine, now.ids) == ["sent"]
    now.proxy.clear()


@scene("The alarms `used_elsewhere` and `reversed`")
async def _elsewhere(now: Scene) -> Made:
    nonce = "0x" + secrets.token_hex(32)
    await now.stack.hold_blocks()
    first = now.stack.body(now.engine, now.payer, nonce=nonce)
    other = now.stack.body(now.engine, now.payer, nonce=nonce, pay_to="0x" + "22" * 20)
    now.ids = await accepted(now.engine, [first])
    await now.stack.all_are(now.engine, now.ids, "sent")
    await ahead(now.stack, "0x" + "5a" * 20, now.stack.asset, transfer_of(other))
    await now.stack.mine()
    await becomes(now.engine, now.ids[0], "confirmation_failed", "used_elsewhere", final=True)
    yield
    assert "used_elsewhere" in now.said["alarms"].out
    assert await alarms(now.engine) == []
    now.ids = []


@scene("A webhook was not delivered")
async def _undelivered(now: Scene) -> Made:
    now.ids = await accepted(now.engine, [now.stack.body(now.engine, now.payer)])
    await now.stack.all_are(now.engine, now.ids, "completed")
    await by_hand(now.stack, "insert into channels values ('webhook', 'there', 'it is gone')")
    await by_hand(
        now.stack,
        "insert into outbox (id, payment_id, channel, event, body, status, last_error)"
        " values ($1, $1, 'webhook', 'payment.completed', '{}', 'dead', 'HTTP 500')",
        now.ids[0],
    )
    await by_hand(now.stack, "insert into alarms values ('webhook_gone', 'webhook', 'gone')")
    yield
    assert "HTTP 500" in now.said["webhooks list"].out or "pending" in now.said["webhooks list"].out
    assert "1 messages will be delivered again" in now.said["webhooks replay"].out
    assert await alarms(now.engine) == []


@scene("The alarms `chain_went_back` and `reorg_too_deep`")
async def _shorter(now: Scene) -> Made:
    patience, confirmer._LOST_S = confirmer._LOST_S, 0.3
    before = await now.stack.rpc.call("evm_snapshot")
    height = await now.stack.height()
    await now.stack.mine(3)

    async def at(wanted: int) -> bool:
        row = await now.engine.db.fetchrow("network_get", only_network(now.engine).chain_id)
        return row is not None and row["cursor_number"] == wanted

    await eventually(lambda: at(height + 3))
    await now.stack.rpc.call("evm_revert", before)
    await eventually(lambda: at(height))
    yield
    confirmer._LOST_S = patience
    assert "chain_went_back" in now.said["alarms"].out
    assert await alarms(now.engine) == []


@scene("The alarm `not_taken_over`")
async def _not_taken(now: Scene) -> Made:
    await by_hand(now.stack, "insert into alarms values ('not_taken_over', 'payer', 'one row')")
    yield
    assert "not_taken_over" in now.said["alarms"].out
    assert await alarms(now.engine) == []


@scene("A setting has no effect")
async def _unset(now: Scene) -> Made:
    bad = "update system_settings set value = 'fifty' where key = 'payment_batch_size'"
    await by_hand(now.stack, bad)
    yield
    assert "allowed is 1 to 5000" in now.said["status"].out


@scene("After an upgrade, or a restored backup")
async def _upgraded(now: Scene) -> Made:
    await now.engine.stop()
    now.more["database_url"] = now.stack.dsn = now.empty
    async with OlderServer.on(now.stack) as older:
        await older.make_tables()
        waiting = await older.insert(older.authorization(now.payer))
    yield
    assert "would apply" in now.said["migrate --dry-run"].out
    assert "taken over: 1 payments" in now.said["migrate"].out
    assert now.said["verify"].code == 0
    async with now.stack.engine() as engine:
        await now.stack.all_are(engine, [waiting], "completed")
        await now.stack.all_minted(engine, 1)
        await now.stack.verified(engine)


def test_each_entry_has_commands_and_a_scene() -> None:
    """An entry that is added is made true here too."""
    assert set(entries()) == set(SCENES)
    assert all(entries().values())


@pytest.mark.parametrize("title", SCENES)
async def test_an_entry_does_what_it_says(
    stack: Stack, empty: str, log_lines: LogLines, title: str
) -> None:
    """In its situation the entry's commands work as typed, and afterwards the payment is
    completed, once."""
    async with FaultProxy(stack.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        await _played(stack, proxy, empty, log_lines, title)


async def _played(
    stack: Stack, proxy: FaultProxy, empty: str, log_lines: LogLines, title: str
) -> None:
    async with stack.engine() as engine:
        await quick(stack, engine)
        [payer] = await stack.payers(1)
        now = Scene(stack, engine, payer, proxy, empty, log_lines)
        made = SCENES[title](now)
        await anext(made)
        for command in entries()[title]:
            await now.type(command)
        await anext(made, None)
        await stack.release_blocks()
        await stack.all_are(engine, now.ids, "completed")


def test_every_alarm_has_an_entry() -> None:
    """Whoever sees an alarm finds its name in the runbook."""
    text = (_ROOT / "docs" / "runbook.md").read_text("utf-8")
    source = _ROOT / "src" / "onsettle"
    kinds = {"used_elsewhere", "reversed", "asset_unavailable", "mint_token_unavailable"}
    for path in source.rglob("*.py"):
        kinds |= set(re.findall(r'raise_alarm\w*\(\s*[\w.]+,\s*"(\w+)"', path.read_text("utf-8")))
    for path in source.rglob("*.sql"):
        kinds |= set(
            re.findall(r"into alarms[^;]*?select '(\w+)'", path.read_text("utf-8"), re.DOTALL)
        )
    assert {"foreign_pending", "not_taken_over", "webhook_gone", "wallet_without_key"} <= kinds
    assert [kind for kind in kinds if f"`{kind}`" not in text] == []
