"""The mintable token, Multicall3, and the contracts that misbehave on purpose."""

import secrets
from typing import Any

import pytest

from onsettle.chain import abi
from onsettle.chain.abi import TOPIC_AUTHORIZATION_USED, TOPIC_TOKENS_MINTED, TOPIC_TRANSFER
from onsettle.chain.rpc import Pool
from onsettle.domain.network import MULTICALL3
from tests.harness.contracts import act, calldata, deploy, mined, refusal
from tests.integration.contracts.eip3009 import PAYEE, Token

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINTER, STRANGER = "0x" + "31" * 20, "0x" + "32" * 20
OWNER = "0x" + "de" * 20
MINT, BATCH = "mint(address,bytes32)", "batchMint(address[],bytes32[])"


def key() -> str:
    return "0x" + secrets.token_hex(32)


class Mintable:
    def __init__(self, rpc: Pool, address: str) -> None:
        self.rpc = rpc
        self.address = address

    @classmethod
    async def deployed(cls, rpc: Pool) -> "Mintable":
        token = cls(rpc, await deploy(rpc, "MintableToken"))
        await token.do(OWNER, "grantMinter(address)", MINTER)
        return token

    async def do(self, sender: str, signature: str, *args: object) -> dict[str, Any]:
        sent = await act(self.rpc, sender, self.address, calldata(signature, *args))
        return await mined(self.rpc, sent)

    async def refusal(self, sender: str, signature: str, *args: object) -> str | None:
        return await refusal(self.rpc, sender, self.address, calldata(signature, *args))

    async def read(self, signature: str, *args: object) -> int:
        call = {"to": self.address, "data": calldata(signature, *args)}
        return int(str(await self.rpc.call("eth_call", call, "latest")), 16)


class TestMintableToken:
    async def test_a_key_mints_once(self, rpc: Pool) -> None:
        """One unit to the recipient, one event that names the key; again is AlreadyMinted."""
        token, once = await Mintable.deployed(rpc), key()
        receipt = await token.do(MINTER, MINT, PAYEE, once)
        [log] = receipt["logs"]
        assert log["topics"] == [TOPIC_TOKENS_MINTED, "0x" + PAYEE[2:].rjust(64, "0")]
        assert log["data"] == "0x" + f"{1:064x}" + once[2:]
        assert await token.read("hasMinted(bytes32)", once) == 1
        assert await token.read("hasMinted(bytes32)", key()) == 0
        assert await token.refusal(MINTER, MINT, STRANGER, once) == "AlreadyMinted"
        assert await token.read("balanceOf(address)", PAYEE) == 1

    async def test_a_batch_is_all_or_nothing(self, rpc: Pool) -> None:
        """One key that was minted before refuses the whole batch."""
        token, once = await Mintable.deployed(rpc), key()
        receipt = await token.do(MINTER, BATCH, [PAYEE, STRANGER], [once, key()])
        assert len(receipt["logs"]) == 2
        late = key()
        assert await token.refusal(MINTER, BATCH, [PAYEE] * 2, [late, once]) == "AlreadyMinted"
        assert (await token.do(MINTER, BATCH, [PAYEE] * 2, [late, once]))["status"] == "0x0"
        assert await token.read("hasMinted(bytes32)", late) == 0

    async def test_only_minters_mint_up_to_the_cap_and_not_while_paused(self, rpc: Pool) -> None:
        """Each of the three has its own error."""
        token = await Mintable.deployed(rpc)
        assert await token.refusal(STRANGER, MINT, PAYEE, key()) == "NotMinter"
        await token.do(OWNER, "setCap(uint256)", 1)
        await token.do(MINTER, MINT, PAYEE, key())
        assert await token.refusal(MINTER, MINT, PAYEE, key()) == "CapReached"
        await token.do(OWNER, "setCap(uint256)", 2)
        await token.do(OWNER, "setPaused(bool)", True)
        assert await token.refusal(MINTER, MINT, PAYEE, key()) == "Paused"
        assert (await token.do(STRANGER, "setPaused(bool)", False))["status"] == "0x0"


class TestMulticall3:
    def data(self, *calls: tuple[str, bool, str]) -> str:
        packed = [(to, may_fail, bytes.fromhex(data[2:])) for to, may_fail, data in calls]
        return "0x" + abi.aggregate3(packed).hex()

    async def test_a_failing_call_leaves_the_others_settled(self, rpc: Pool) -> None:
        """With allowFailure one bad payment fails alone, and the others are charged."""
        token = await Token.deployed(rpc)
        good, poor = await token.payer(), await token.payer(0)
        calls = [(token.address, True, payer.sign().call()) for payer in (poor, good)]
        sent = await act(rpc, STRANGER, MULTICALL3, self.data(*calls))
        receipt = await mined(rpc, sent)
        assert receipt["status"] == "0x1"
        topics = [log["topics"][0] for log in receipt["logs"]]
        assert topics == [TOPIC_AUTHORIZATION_USED, TOPIC_TRANSFER]
        assert await token.balance(good.address) == 900

    async def test_without_leave_to_fail_everything_reverts(self, rpc: Pool) -> None:
        """Without allowFailure nobody is charged."""
        token = await Token.deployed(rpc)
        good, poor = await token.payer(), await token.payer(0)
        calls = [(token.address, False, payer.sign().call()) for payer in (good, poor)]
        data = self.data(*calls)
        assert await refusal(rpc, STRANGER, MULTICALL3, data) == "Multicall3: call failed"


class TestMisbehavingTokens:
    async def test_a_fee_is_kept_from_what_was_signed(self, rpc: Pool) -> None:
        """No Transfer of the signed amount exists, and the recipient has less."""
        token = await Token.deployed(rpc, "FeeToken")
        payer = await token.payer(10_000)
        before = await token.balance(PAYEE)
        events = await token.settle(payer.sign(value=10_000))
        assert events == [TOPIC_AUTHORIZATION_USED, TOPIC_TRANSFER, TOPIC_TRANSFER]
        assert await token.balance(PAYEE) == before + 9_900

    @pytest.mark.parametrize(
        ("oddity", "status", "asked"),
        [(1, "0x0", False), (2, "0x0", False), (3, "0x0", False), (4, "0x0", False),
         (5, "0x0", False), (6, "0x1", True), (7, "0x1", True), (8, "0x0", True)],
    )  # fmt: skip
    async def test_oddities(self, rpc: Pool, oddity: int, status: str, asked: bool) -> None:
        """Each oddity acts as named: what a call that only asks says, and what a block does."""
        token = await Token.deployed(rpc, "OddToken")
        payer = await token.payer(10_000)
        await token.rule("setOddity(address,uint8)", payer.address, oddity)
        signed = payer.sign(value=10_000)
        assert (await token.refusal(signed) is None) is asked
        assert (await token.do(signed.call()))["status"] == status
        assert await token.used(signed) is (status == "0x1")
