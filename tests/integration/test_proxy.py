"""The lying node lies as it is told, and only so: what it plants is what the engine meets."""

import asyncio
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from onsettle.chain.answers import SendKind
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RateLimited, RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import SignedTransaction, UnsignedTransaction
from tests.harness.contracts import mined
from tests.harness.processes import ROOT
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack

TO = "0x" + "22" * 20


class Bench:
    """A chain behind a proxy, and a wallet that sends through it."""

    def __init__(self, stack: Stack, proxy: FaultProxy, pool: Pool) -> None:
        self.stack = stack
        self.proxy = proxy
        self.pool = pool
        self.signer = LocalSigner.from_key(stack.keys[0])

    @property
    def node(self) -> Endpoint:
        return self.pool.endpoints[0]

    def signed(self, nonce: int, gwei: float = 10) -> SignedTransaction:
        return self.signer.sign(
            UnsignedTransaction(
                chain_id=84532,
                nonce=nonce,
                to=TO,
                gas_limit=21_000,
                max_fee=int(gwei * 10**9),
                priority_fee=int(gwei * 10**9),
            )
        )

    async def send(self, nonce: int, gwei: float = 10) -> SendKind:
        [answer] = await self.pool.broadcast([self.signed(nonce, gwei).raw], timeout_s=2)
        return answer.kind

    async def landed(self, tx: SignedTransaction) -> int:
        """The block that has it: the node answers a sender before it mines."""
        receipt = await mined(self.stack.rpc, tx.hash)
        return int(receipt["blockNumber"], 16)

    async def on_chain(self) -> int:
        """The wallet's nonce, with all that the node has in a block."""
        await self.stack.mine()
        return await self.stack.nonce(self.signer.address)


@pytest.fixture
async def bench(stack: Stack) -> AsyncIterator[Bench]:
    async with (
        FaultProxy(stack.chain.rpc_url, geth=True) as proxy,
        Pool([proxy.url], probe_interval_s=0) as pool,
    ):
        yield Bench(stack, proxy, pool)


async def test_faults_of_the_transport_answer_nothing_and_end_when_they_are_told(
    bench: Bench,
) -> None:
    """Every fault of the transport leaves the caller without an answer, as often as it is told."""
    for name in ("drop", "reset", "server_error", "malformed", "malformed_after", "timeout"):
        bench.proxy.script(name, times=1, amount=0.1 if name == "timeout" else None)
        with pytest.raises(RpcUnavailable):
            await bench.node.call("eth_chainId", timeout_s=2)
        assert await bench.node.call("eth_chainId") == hex(84532), name
        assert bench.proxy.injected[name] == 1
    bench.proxy.script("rate_limit", times=1, amount=0)
    with pytest.raises(RateLimited):
        await bench.node.call("eth_chainId")
    bench.proxy.script("delay", amount=0.01)
    assert await bench.node.call("eth_chainId") == hex(84532)


async def test_faults_of_a_batch_never_give_an_answer_to_another_call(bench: Bench) -> None:
    """Shuffled, cut off or under wrong ids: a call gets its own answer or none."""
    calls = [
        Call("eth_chainId"),
        Call("eth_blockNumber"),
        Call("eth_getBlockByNumber", ("0x0", False)),
    ]
    honest = await bench.node.batch(calls)
    bench.proxy.script("shuffled", times=1)
    assert await bench.node.batch(calls) == honest
    rule = bench.proxy.script("truncated", "eth_chainId")
    answers = await bench.node.batch(calls)
    assert answers[0] == honest[0]
    assert all(isinstance(answer, RpcUnavailable) for answer in answers[1:])
    bench.proxy.stop(rule)
    bench.proxy.script("wrong_id", times=1)
    with pytest.raises(RpcUnavailable):
        await bench.node.batch(calls)


async def test_lies_about_bytes_say_one_thing_and_do_another(bench: Bench) -> None:
    """What a node says of our bytes and what it does with them are told apart, fault by fault."""
    cases = [
        ("accept_but_error", SendKind.UNKNOWN, 1),
        ("accept_but_timeout", SendKind.UNKNOWN, 1),
        ("ok_but_dropped", SendKind.ACCEPTED, 0),
        ("already_known", SendKind.ALREADY_KNOWN, 0),
        ("nonce_too_low", SendKind.NONCE_TOO_LOW, 0),
        ("underpriced_replacement", SendKind.REPLACEMENT_UNDERPRICED, 0),
        ("pool_full", SendKind.POOL_FULL, 0),
    ]
    for name, kind, landed in cases:
        nonce = await bench.on_chain()
        bench.proxy.script(name, times=1, amount=0.05)
        assert await bench.send(nonce) is kind, name
        assert await bench.on_chain() == nonce + landed, name
        bench.proxy.clear()


async def test_a_node_that_is_behind_answers_everything_as_of_its_own_head(bench: Bench) -> None:
    """Counts, receipts, blocks, logs and named states after its head do not exist for it."""
    tx = bench.signed(0)
    assert await bench.send(0) is SendKind.ACCEPTED
    head = await bench.landed(tx)
    block = await bench.node.call("eth_getBlockByNumber", hex(head), False)
    assert isinstance(block, dict)
    rule = bench.proxy.script("behind", amount=1)
    assert await bench.node.call("eth_blockNumber") == hex(head - 1)
    assert await bench.node.call("eth_getTransactionCount", bench.signer.address, "latest") == "0x0"
    assert await bench.node.call("eth_getTransactionReceipt", tx.hash) is None
    assert await bench.node.call("eth_getBlockByNumber", hex(head), False) is None
    at = {"blockHash": block["hash"]}
    with pytest.raises(RpcError):
        await bench.node.call("eth_getTransactionCount", bench.signer.address, at)
    with pytest.raises(RpcError):
        await bench.node.call("eth_getLogs", at)
    bench.proxy.stop(rule)
    assert await bench.node.call("eth_getTransactionReceipt", tx.hash) is not None
    bench.proxy.script("frozen")
    assert await bench.node.call("eth_blockNumber") == hex(head)
    await bench.stack.mine(3)
    assert await bench.node.call("eth_blockNumber") == hex(head)
    bench.proxy.clear()
    bench.proxy.script("wobbling", amount=3)
    heights = {await bench.node.call("eth_blockNumber") for _ in range(40)}
    assert heights == {hex(head + n) for n in range(4)}


async def test_evidence_that_is_missing_or_of_a_dropped_block(bench: Bench) -> None:
    """Receipts and logs go missing for a while, and a dropped block's receipt can be kept."""
    await bench.stack.payers(1)
    tx = bench.signed(0)
    assert await bench.send(0) is SendKind.ACCEPTED
    await bench.landed(tx)
    for name, method, params in (
        ("no_receipts", "eth_getTransactionReceipt", tx.hash),
        ("no_logs", "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}),
    ):
        rule = bench.proxy.script(name)
        assert not await bench.node.call(method, params)
        bench.proxy.stop(rule)
        assert await bench.node.call(method, params)
    bench.proxy.script("old_receipts")
    before = await bench.node.call("eth_getTransactionReceipt", tx.hash)
    await bench.stack.rpc.call("anvil_reorg", 1, [])
    assert await bench.stack.rpc.call("eth_getTransactionReceipt", tx.hash) is None
    assert await bench.node.call("eth_getTransactionReceipt", tx.hash) == before


async def test_the_rules_of_geth_are_kept(bench: Bench) -> None:
    """Ten percent on both fees for a replacement, known bytes told so, 64 waiting behind a gap."""
    await bench.stack.hold_blocks()
    assert await bench.send(0, 10) is SendKind.ACCEPTED
    assert await bench.send(0, 10) is SendKind.ALREADY_KNOWN
    assert await bench.send(0, 10.9) is SendKind.REPLACEMENT_UNDERPRICED
    assert await bench.send(0, 11) is SendKind.ACCEPTED
    for nonce in range(2, 70):
        assert await bench.send(nonce) is SendKind.ACCEPTED
    status = await bench.stack.rpc.call("txpool_status")
    assert isinstance(status, dict)
    assert int(status["queued"], 16) == 64
    await bench.stack.mine()
    assert await bench.send(0, 30) is SendKind.NONCE_TOO_LOW


async def test_two_nodes_of_one_chain_disagree(stack: Stack) -> None:
    """Two proxies on one chain are two nodes, each with its own view of it."""
    async with (
        FaultProxy(stack.chain.rpc_url) as ahead,
        FaultProxy(stack.chain.rpc_url) as behind,
        Pool([behind.url, ahead.url], probe_interval_s=0) as pool,
    ):
        await stack.mine(5)
        behind.script("behind", amount=4)
        await pool.probe()
        heights = [endpoint.stats.height for endpoint in pool.endpoints]
        assert heights == [await stack.height() - 4, await stack.height()]
        assert pool.best() is pool.endpoints[1]


async def test_the_rules_are_read_and_replaced_over_http(bench: Bench) -> None:
    """PUT /faults replaces all rules; a list with one that can't be is refused with 422, and the
    rules stay as they are."""
    async with httpx.AsyncClient(base_url=bench.proxy.url) as http:
        drops = [{"fault": "drop", "methods": ["eth_gasPrice"], "times": 1}]
        assert (await http.put("/faults", json=drops)).status_code == 200
        for wrong in (
            [{"fault": "no_such"}],
            [{"fault": "delay"}, {"fault": "drop", "how": "often"}],
            [{"methods": ["eth_gasPrice"]}],
            ["drop"],
            7,
        ):
            refused = await http.put("/faults", json=wrong)
            assert refused.status_code == 422, wrong
        assert (
            "no such fault: no_such"
            in (await http.put("/faults", content=b'[{"fault": "no_such"}]')).text
        )
        assert (await http.put("/faults", content=b"[{")).status_code == 422
        with pytest.raises(RpcUnavailable):
            await bench.node.call("eth_gasPrice")
        assert await bench.node.call("eth_gasPrice")
        shown = (await http.get("/faults")).json()
        assert shown["rules"] == [{"fault": "drop", "methods": ["eth_gasPrice"]}]
        assert shown["injected"] == {"drop": 1}
        assert shown["seen"]["eth_gasPrice"] == 2
        assert (await http.put("/faults", json=[])).json()["rules"] == []


async def test_the_proxy_is_started_by_hand(stack: Stack) -> None:
    """`python -m tests.harness.proxy` stands in front of a node with the faults that are named; a
    fault that there is not ends it with the list."""
    command = [sys.executable, "-m", "tests.harness.proxy", "--upstream", stack.chain.rpc_url]
    refused = await asyncio.create_subprocess_exec(
        *command, "--faults", "no_such", stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    _, said = await asyncio.wait_for(refused.communicate(), 30)
    assert refused.returncode == 1
    assert b"no such fault: no_such" in said
    started = await asyncio.create_subprocess_exec(
        *command, "--faults", "delay:0.01,internal_error", "--chance", "1", "--geth",
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert started.stdout is not None
    try:
        line = (await asyncio.wait_for(started.stdout.readline(), 30)).decode()
        url = line.partition(" ")[0]
        async with httpx.AsyncClient() as http:
            rules = (await http.get(f"{url}/faults")).json()["rules"]
        assert [rule["fault"] for rule in rules] == ["delay", "internal_error"]
        async with Pool([url], probe_interval_s=0) as pool:
            with pytest.raises(RpcError, match="Internal error"):
                await pool.call("eth_chainId")
    finally:
        started.kill()
        await started.wait()
