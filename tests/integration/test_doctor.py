"""`onsettle doctor`: each trouble is planted, found by name, and told with a remedy."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from onsettle.chain.signer import LocalSigner
from onsettle.engine.doctor.database import check_locks
from onsettle.engine.doctor.findings import Finding, Findings, State
from onsettle.local.chain import LocalChain
from tests.harness.books import accepted, by_hand, quick, running
from tests.harness.commands import Answer, onsettle
from tests.harness.moves import by_key
from tests.harness.proxy import FaultProxy
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


async def test_tables_of_another_version_are_told(stack: Stack, empty: str) -> None:
    """None at all, and those of a version that is newer: what to run. The chain is looked at all
    the same."""
    for statement, words, remedy in (
        (None, "missing: 0001_tables", "onsettle migrate"),
        (
            "insert into schema_migrations (version, name, checksum) values (9999, 'later', '')",
            "migration 9999, which this version does not know",
            "run the version of onsettle that made this database",
        ),
    ):
        dsn = empty
        if statement is not None:
            dsn = stack.dsn
            await by_hand(stack, statement)
        env = stack.process_environment(database_url=dsn)
        answer = await onsettle(env, "doctor", "--json")
        assert answer.code == 1
        found = troubles(answer)
        assert set(found) == {"migrations"}
        assert words in found["migrations"][0]["found"]
        assert found["migrations"][0]["remedy"] == remedy
        assert {"chain", "gas"} <= {each["check"] for each in answer.json["findings"]}


async def test_a_confirmer_that_is_behind_and_dead_messages_are_told(stack: Stack) -> None:
    """With a worker that lives a network without a follower at the head is a warning, and so are
    messages that were given up: exit code 3, and how many they are."""
    async with stack.engine(start=False):
        await by_hand(stack, "insert into workers (id, chains) values ('there', '{84532}')")
        await by_hand(stack, "update networks set cursor_number = 7, following_since = null")
        await by_hand(
            stack,
            "insert into outbox (id, payment_id, channel, event, status, body)"
            " select gen_random_uuid(), gen_random_uuid(), 'webhook', 'payment.completed', 'dead',"
            " '{}' from generate_series(1, 3)",
        )
        answer = await onsettle(stack.process_environment(), "doctor", "--json")
        assert answer.code == 3
        found = troubles(answer)
        assert set(found) == {"following", "messages"}
        assert found["following"][0]["found"] == "block 7, not at the head"
        assert found["messages"][0]["found"] == "3 were given up"
        told = await onsettle(stack.process_environment(), "doctor")
        assert "It works; see WARN." in told.out


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("forked", "agreement", "the endpoints disagree on block"),
        ("no_hashes", "endpoint", "does not read at a block hash"),
        ("pruned", "depth", "no state 200 blocks deep"),
    ],
)
async def test_endpoints_that_answer_and_can_not_be_used_are_told(
    stack: Stack, fault: str, check: str, words: str
) -> None:
    """Another branch, no reads by hash, no state where `payment_confirmations` looks: each at the
    endpoint that it is of, beside one that is sound."""
    await stack.mine(201)
    async with running(stack, payment_confirmations=200), FaultProxy(stack.rpc_url) as proxy:
        proxy.script(fault)
        env = stack.process_environment(rpc_urls=f"{stack.rpc_url},{proxy.url}")
        answer = await onsettle(env, "doctor", "--json")
        found = troubles(answer)
        assert any(words in each["found"] for each in found[check]), found
        sound = stack.rpc_url.removeprefix("http://")
        assert not any(sound in each["subject"] for each in found.get("endpoint", []))
        depths = [each for each in answer.json["findings"] if each["check"] == "depth"]
        assert [each["state"] for each in depths if sound in each["subject"]] == ["ok"]
        assert ("depth" in found) == (fault != "no_hashes")
        if fault == "no_hashes":
            # Numbers do as well, between two looks at the hash.
            assert set(found) == {"endpoint"}
            assert answer.code == 3
        if fault == "pruned":
            assert set(found) == {"depth"}
            assert answer.code == 3
            assert "payment_confirmations to 128 or less" in found["depth"][0]["remedy"]


async def test_a_depth_that_every_node_keeps_is_not_asked_for(stack: Stack) -> None:
    """At 128 confirmations a node that is no archive node will do, and nothing is said."""
    await stack.mine(201)
    async with running(stack, payment_confirmations=128), FaultProxy(stack.rpc_url) as proxy:
        proxy.script("pruned")
        answer = await onsettle(stack.process_environment(rpc_urls=proxy.url), "doctor", "--json")
        assert answer.ok().json["state"] == "ok"


async def test_tokens_and_wallets_that_are_not_what_they_were_are_told(stack: Stack) -> None:
    """A domain that is not the one of the books, a mint token that is none, no key that may mint,
    a payment key that no transaction can be kept in the pool of."""
    async with stack.engine(start=False):
        await by_hand(stack, "insert into workers (id, chains) values ('there', '{84532}')")
        await by_hand(stack, "update networks set following_since = now()")
        await by_hand(stack, "update assets set separator = decode(repeat('ab', 32), 'hex')")
        [wallet] = stack.wallets
        delegated = "0xef0100" + "ab" * 20
        await stack.rpc.call("anvil_setCode", wallet, delegated)
        env = stack.process_environment(
            mint_tokens=f"{stack.mint_token},{stack.asset}", mint_keys=""
        )
        answer = await onsettle(env, "doctor", "--json")
        assert answer.code == 1
        found = troubles(answer)
        assert set(found) == {"asset", "mint token", "keys", "wallet"}
        assert "not the one that this database knows" in found["asset"][0]["found"]
        told = {each["subject"]: each["found"] for each in found["mint token"]}
        assert told[stack.mint_token] == "no wallet can mint"
        assert "does not answer hasMinted" in told[stack.asset]
        assert found["keys"][0]["found"] == "no mint key: this machine sends none"
        assert "EIP-7702" in found["wallet"][0]["found"]


@pytest.mark.parametrize(
    ("methods", "wanted"),
    [
        (["eth_getCode"], {"asset", "multicall", "mint token", "wallet"}),
        (["eth_call"], {"asset", "mint token"}),
        (["eth_getBalance"], {"wallet"}),
        (["eth_getTransactionCount"], {"endpoint", "wallet"}),
        (["eth_chainId"], {"endpoint"}),
    ],
)
async def test_what_a_node_does_not_answer_is_told_where_it_was_needed(
    stack: Stack, methods: list[str], wanted: set[str]
) -> None:
    """A call that breaks off is told by each check that wanted it; the others go on."""
    async with running(stack), FaultProxy(stack.rpc_url) as proxy:

        async def at_work() -> bool:
            answer = await onsettle(stack.process_environment(), "doctor", "--json")
            return answer.code == 0

        await eventually(at_work)
        proxy.script("drop", *methods)
        answer = await onsettle(stack.process_environment(rpc_urls=proxy.url), "doctor", "--json")
        found = troubles(answer)
        assert set(found) == wanted


async def test_keys_that_can_not_be_read_and_no_network_are_told(
    stack: Stack, tmp_path: Path
) -> None:
    """A keystore that is none, by the role that wants it; no token to be paid in; no chain."""
    async with stack.engine(start=False):
        broken = tmp_path / "keystore.json"
        broken.write_text("{}")
        broken.chmod(0o600)
        env = stack.process_environment(payment_keys=str(broken), keystore_password="x")
        found = troubles(await onsettle(env, "doctor", "--json"))
        assert found["keys"][0]["found"].startswith("payment: ")
        assert found["keys"][0]["subject"] == "default"
        found = troubles(await onsettle(stack.process_environment(assets=""), "doctor", "--json"))
        assert found["asset"][0]["remedy"] == "set ONSETTLE_ASSETS"
        names = ("RPC_URLS", "ASSETS", "MINT_TOKENS", "PAYMENT_KEYS", "MINT_KEYS")
        nothing = {n: v for n, v in env.items() if n not in {f"ONSETTLE_{each}" for each in names}}
        answer = await onsettle(nothing, "doctor", "--json")
        assert answer.code == 1
        assert troubles(answer)["network"][0]["remedy"] == "set ONSETTLE_RPC_URLS"
