"""`onsettle doctor`: each trouble is planted, found by name, and told with a remedy."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from onsettle.chain.signer import LocalSigner
from onsettle.engine.doctor.database import check_locks
from onsettle.engine.doctor.findings import Finding, Findings, State
from onsettle.local.chain import LocalChain
from tests.harness.books import accepted, by_hand, quick
from tests.harness.commands import Answer, onsettle
from tests.harness.moves import by_key
from tests.harness.stack import Stack, eventually, only_network


def troubles(answer: Answer) -> dict[str, list[dict[str, Any]]]:
    """What is not well, by the name of the check."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in answer.json["findings"]:
        if each["state"] != "ok":
            assert each["remedy"], each
            found.setdefault(each["check"], []).append(each)
    return found


@asynccontextmanager
async def held_open(stack: Stack) -> AsyncIterator[None]:
    """A transaction that somebody forgot, as if for a long time."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        await connection.execute("begin; select 1")
        yield
    finally:
        await connection.close()


async def test_a_sound_set_up_has_nothing_to_do(stack: Stack) -> None:
    """Exit code 0, every check told, after real payments."""
    async with stack.engine() as engine:
        await quick(stack, engine)
        [payer] = await stack.payers(1)
        ids = await accepted(engine, [stack.body(engine, payer)])
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 1)
        answer = (await onsettle(stack.process_environment(), "doctor", "--json")).ok()
        assert answer.json["state"] == "ok", troubles(answer)
        checks = {each["check"] for each in answer.json["findings"]}
        assert checks == {
            "files", "database version", "durable settings", "database clock", "connections",
            "old locks", "migrations", "settings", "workers", "alarms", "messages", "chain",
            "endpoint", "asset", "multicall", "mint role", "gas", "foreign use",
        }  # fmt: skip
        told = (await onsettle(stack.process_environment(), "doctor")).ok()
        assert "All is well." in told.out


async def test_what_is_wrong_with_the_database_is_told(stack: Stack) -> None:
    """A setting out of range, an alarm, a pause, no worker, the books of another chain: each with
    what to do."""
    async with stack.engine(start=False) as engine:
        await stack.set(engine, payment_batch_size="many", payments_paused=True)
        await by_hand(stack, "insert into alarms values ('foreign_pending', '0x1', 'look')")
        await by_hand(stack, "update networks set genesis_hash = '0x00'")
        answer = await onsettle(stack.process_environment(), "doctor", "--json")
        assert answer.code == 1
        found = troubles(answer)
        assert set(found) == {"settings", "paused", "workers", "alarms", "chain"}
        assert "payment_batch_size = 'many'" in found["settings"][0]["found"]
        assert "1 to 5000" in found["settings"][0]["found"]
        assert found["paused"][0]["remedy"] == "onsettle resume"


async def test_what_is_wrong_with_keys_and_tokens_is_told(stack: Stack) -> None:
    """A wallet without gas, a key that others use, a minter without the role, a chain without
    Multicall3, a token that is none."""
    key = "0x" + secrets.token_hex(32)
    async with stack.engine() as engine:
        await quick(stack, engine)
        [payer] = await stack.payers(1)
        ids = await accepted(engine, [stack.body(engine, payer)])
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 1)
        foreign = by_key(stack.keys[0], only_network(engine).chain_id, 1)
        await stack.rpc.call("eth_sendRawTransaction", foreign)
        await stack.rpc.call("anvil_setCode", only_network(engine).config.multicall, "0x")
        assets = f"{stack.asset},{stack.wallets[0]}"
        env = stack.process_environment(assets=assets, mint_keys=key)
        answer = await onsettle(env, "doctor", "--json")
        assert answer.code == 1
        found = troubles(answer)
        assert set(found) == {"foreign use", "mint role", "gas", "multicall", "asset"}
        assert found["gas"][0]["subject"] == LocalSigner.from_key(key).address
        assert "would revert" in found["mint role"][0]["found"]
        assert "no code" in found["asset"][0]["found"]
        assert found["foreign use"][0]["subject"] == stack.wallets[0]


async def test_endpoints_that_are_down_or_of_another_chain_are_told(
    stack: Stack, tmp_path: Path
) -> None:
    """Each by its own name; and a database of another chain is not used."""
    other = Stack(stack.dsn, tmp_path / "other")
    other.chain = LocalChain(tmp_path / "other", block_time=0, chain_id=31337)
    async with stack.engine(), other:
        urls = f"{stack.rpc_url},{other.chain.rpc_url},http://127.0.0.1:9"
        answer = await onsettle(stack.process_environment(rpc_urls=urls), "doctor", "--json")
        assert answer.code == 1
        found = troubles(answer)
        told = {each["subject"]: each["found"] for each in found["endpoint"]}
        assert set(found) <= {"endpoint", "agreement"}
        assert set(told) == {"http://127.0.0.1:9", other.chain.rpc_url}
        assert "genesis" in told[other.chain.rpc_url]


async def test_loose_files_and_a_database_that_is_down_are_told(
    stack: Stack, tmp_path: Path
) -> None:
    """A file with keys that others can read; a database that does not answer."""
    secret = tmp_path / "onsettle.toml"
    secret.write_text("")
    secret.chmod(0o644)
    env = stack.process_environment(database_url="postgresql://127.0.0.1:9/none")
    answer = await onsettle(env | {"ONSETTLE_CONFIG": str(secret)}, "doctor", "--json")
    assert answer.code == 1
    found = troubles(answer)
    assert set(found) == {"files", "database"}
    assert found["files"][0]["remedy"] == f"chmod go= {secret}"


async def test_a_transaction_that_was_forgotten_is_told(stack: Stack) -> None:
    """With its pid, and the statement that ends it."""
    async with stack.engine(start=False) as engine, held_open(stack):

        async def told() -> list[Finding]:
            found = Findings()
            await check_locks(found, engine.db, older_than_s=0)
            return [each for each in found.all if each.state is State.WARN]

        [finding] = await eventually(told)
        assert "pg_terminate_backend" in finding.remedy
