"""The local payment token answers as Circle's FiatTokenV2_2 does, refusal by refusal."""

from typing import Any

import pytest
import pytest_asyncio

from onsettle.chain.abi import (
    TOPIC_AUTHORIZATION_CANCELED,
    TOPIC_AUTHORIZATION_USED,
    TOPIC_TRANSFER,
)
from onsettle.chain.rpc import Pool
from tests.harness.contracts import calldata, deploy
from tests.integration.contracts.eip3009 import PAYEE, Token, high_s

pytestmark = pytest.mark.asyncio(loop_scope="module")

USED_THEN_TRANSFER = [TOPIC_AUTHORIZATION_USED, TOPIC_TRANSFER]
INVALID = "FiatTokenV2: invalid signature"
USED = "FiatTokenV2: authorization is used or canceled"
OVERDRAWN = "ERC20: transfer amount exceeds balance"
BLACKLISTED = "Blacklistable: account is blacklisted"
NOT_YET = "FiatTokenV2: authorization is not yet valid"
EXPIRED = "FiatTokenV2: authorization is expired"
ZERO = "0x" + "00" * 20


@pytest_asyncio.fixture(loop_scope="module")
async def token(rpc: Pool) -> Token:
    return await Token.deployed(rpc)


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("kind", ["TransferWithAuthorization", "ReceiveWithAuthorization"])
async def test_a_good_authorization_moves_the_money_once(
    token: Token, kind: str, as_bytes: bool
) -> None:
    """Both signature forms of both calls: AuthorizationUsed, then Transfer; a replay is refused."""
    payer = await token.payer()
    before = await token.balance(PAYEE)
    signed = payer.sign(kind)
    more: dict[str, Any] = {"as_bytes": as_bytes, "sender": PAYEE}
    assert await token.settle(signed, **more) == USED_THEN_TRANSFER
    assert await token.balance(payer.address) == 900
    assert await token.balance(PAYEE) == before + 100
    assert await token.used(signed)
    assert await token.refusal(signed, **more) == USED


async def test_anyone_may_settle_a_transfer_but_only_the_payee_receives(token: Token) -> None:
    """A third party can't take receiveWithAuthorization out of the payee's hands."""
    payer = await token.payer()
    await token.settle(payer.sign())
    theirs = payer.sign("ReceiveWithAuthorization")
    assert await token.refusal(theirs) == "FiatTokenV2: caller must be the payee"
    assert await token.refusal(theirs, sender=PAYEE) is None


async def test_a_signature_for_one_call_is_not_good_for_the_other(token: Token) -> None:
    """The two kinds have type hashes of their own."""
    payer = await token.payer()
    signed = payer.sign("ReceiveWithAuthorization")
    signed.kind = "TransferWithAuthorization"
    assert await token.refusal(signed) == INVALID


@pytest.mark.parametrize("as_bytes", [False, True])
async def test_a_cancelled_authorization_can_not_be_used(token: Token, as_bytes: bool) -> None:
    """cancelAuthorization sets the same state as a use, and tells it by another event."""
    payer = await token.payer()
    signed = payer.sign()
    cancel = payer.sign("CancelAuthorization", nonce=signed.values["nonce"])
    assert await token.settle(cancel, as_bytes=as_bytes) == [TOPIC_AUTHORIZATION_CANCELED]
    assert await token.used(signed)
    assert await token.refusal(signed) == USED
    assert await token.refusal(cancel) == USED


async def test_a_cancellation_of_another_key_is_refused(token: Token) -> None:
    """Nobody cancels for somebody else."""
    payer, other = await token.payer(), await token.payer()
    assert (
        await token.refusal(other.sign("CancelAuthorization", authorizer=payer.address)) == INVALID
    )


class TestSignatures:
    @pytest.mark.parametrize(
        ("domain", "changed"),
        [
            ({"name": "USD Coin"}, {}),
            ({"version": "1"}, {}),
            ({"chainId": 8453}, {}),
            ({"verifyingContract": "0x" + "77" * 20}, {}),
        ],
    )
    async def test_another_domain_is_refused(
        self, token: Token, domain: dict[str, Any], changed: dict[str, Any]
    ) -> None:
        """Name, version, chain and contract are all bound by the signature."""
        payer = await token.payer()
        assert await token.refusal(payer.sign(domain=domain, **changed)) == INVALID

    async def test_the_domain_follows_the_name(self, token: Token) -> None:
        """A renamed token has another domain from that block on."""
        payer = await token.payer()
        old, new = payer.sign(), payer.sign(domain={"name": "USD Coin"})
        await token.rule("setName(string)", "USD Coin")
        assert await token.refusal(old) == INVALID
        assert await token.settle(new) == USED_THEN_TRANSFER

    @pytest.mark.parametrize("field", ["to", "value", "validAfter", "validBefore", "nonce"])
    async def test_every_field_is_signed(self, token: Token, field: str) -> None:
        """No field can be changed after signing."""
        payer = await token.payer()
        signed = payer.sign()
        other = {"to": token.anyone, "nonce": "0x" + "09" * 32}
        signed.values[field] = other.get(field, 1_000_000_000 if field == "validAfter" else 2**250)
        assert await token.refusal(signed) == INVALID

    @pytest.mark.parametrize("as_bytes", [False, True])
    async def test_malleable_and_malformed_signatures_have_their_own_words(
        self, token: Token, as_bytes: bool
    ) -> None:
        """High s is told before a bad v; v must be 27 or 28; r of zero recovers nobody."""
        payer = await token.payer()
        good = payer.sign().signature
        cases = [
            (high_s(good), "ECRecover: invalid signature 's' value"),
            (high_s(good)[:64] + b"\0", "ECRecover: invalid signature 's' value"),
            (good[:64] + bytes([good[64] - 27]), "ECRecover: invalid signature 'v' value"),
            (good[:64] + b"\x1d", "ECRecover: invalid signature 'v' value"),
            (bytes(32) + good[32:], "ECRecover: invalid signature"),
        ]
        for signature, words in cases:
            signed = payer.sign()
            signed.signature = signature
            assert await token.refusal(signed, as_bytes=as_bytes) == words

    @pytest.mark.parametrize("length", [0, 64, 66])
    async def test_another_length_is_refused(self, token: Token, length: int) -> None:
        """A key signs 65 bytes, and only those."""
        signed = (await token.payer()).sign()
        signed.signature = (signed.signature + b"\0")[:length]
        assert await token.refusal(signed, as_bytes=True) == "ECRecover: invalid signature length"

    async def test_a_payer_with_code_is_asked_itself(self, rpc: Pool, token: Token) -> None:
        """ERC-1271 decides for any address with code, by either overload; its own key does not."""
        owner = await token.payer(0)
        wallet = await deploy(rpc, "ContractWallet", owner.address)
        payer = await token.payer(account=wallet)
        payer.key, stranger = owner.key, payer.key
        assert await token.settle(payer.sign()) == USED_THEN_TRANSFER
        long = payer.sign()
        long.signature += b"more than a key would sign"
        assert await token.settle(long, as_bytes=True) == USED_THEN_TRANSFER
        short = payer.sign()
        short.signature = b""
        assert await token.refusal(short, as_bytes=True) == INVALID
        payer.key = stranger
        assert await token.refusal(payer.sign()) == INVALID

    async def test_a_wallet_that_breaks_is_an_invalid_signature(
        self, rpc: Pool, token: Token
    ) -> None:
        """What a payer's code does wrong stays that payer's problem, with the token's own words."""
        owner = await token.payer(0)
        wallet = await deploy(rpc, "ContractWallet", owner.address)
        payer = await token.payer(account=wallet)
        payer.key = owner.key
        await rpc.call("anvil_setCode", wallet, "0xfe")
        assert await token.refusal(payer.sign()) == INVALID
        await rpc.call("anvil_setCode", wallet, "0x00")
        assert await token.refusal(payer.sign()) == INVALID


async def test_the_window_is_open_strictly_between_its_ends(token: Token) -> None:
    """At validAfter and at validBefore themselves a block still refuses."""
    payer = await token.payer()
    block = await token.rpc.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    start = int(block["timestamp"], 16) + 100
    window: dict[str, Any] = {"validAfter": start, "validBefore": start + 20}
    outcomes = []
    for at in (start, start + 1, start + 19, start + 20):
        await token.rpc.call("evm_setNextBlockTimestamp", at)
        outcomes.append((await token.do(payer.sign(**window).call()))["status"])
    assert outcomes == ["0x0", "0x1", "0x1", "0x0"]
    assert await token.refusal(payer.sign(**window)) == EXPIRED
    assert await token.refusal(payer.sign(validAfter=2**250)) == NOT_YET


async def test_refusals_come_in_the_order_of_the_original(token: Token) -> None:
    """Everything is wrong at first; each thing that is put right shows the next refusal."""
    payer = await token.payer(0)
    cancel = payer.sign("CancelAuthorization")
    bad: dict[str, Any] = {"nonce": cancel.values["nonce"], "to": PAYEE}
    await token.settle(cancel)
    for account in (payer.address, PAYEE):
        await token.rule("blacklist(address)", account)
    await token.rule("pause()")
    wrong = payer.sign(validAfter=2**250, validBefore=1, **bad)
    assert await token.refusal(wrong) == "Pausable: paused"
    await token.rule("unpause()")
    assert await token.refusal(wrong) == BLACKLISTED
    await token.rule("unBlacklist(address)", payer.address)
    assert await token.refusal(wrong) == BLACKLISTED
    await token.rule("unBlacklist(address)", PAYEE)
    assert await token.refusal(wrong) == NOT_YET
    assert await token.refusal(payer.sign(validBefore=1, **bad)) == EXPIRED
    spoiled = payer.sign(**bad)
    spoiled.signature = bytes(65)
    assert await token.refusal(spoiled) == USED
    fresh = payer.sign(to=ZERO)
    good, fresh.signature = fresh.signature, payer.sign().signature
    assert await token.refusal(fresh) == INVALID
    fresh.signature = good
    assert await token.refusal(fresh) == "ERC20: transfer to the zero address"
    assert await token.refusal(payer.sign()) == OVERDRAWN


async def test_the_token_itself_can_not_be_paid(token: Token) -> None:
    """As the original it is on its own blacklist from the start: what is signed to it is refused
    before anything else is looked at, and a settler that asks is told so."""
    payer = await token.payer()
    assert await token.refusal(payer.sign(to=token.address, validBefore=1)) == BLACKLISTED
    asked = {"to": token.address, "data": calldata("isBlacklisted(address)", token.address)}
    assert int(str(await token.rpc.call("eth_call", asked, "latest")), 16) == 1


async def test_a_cancellation_minds_pause_but_not_the_blacklist(token: Token) -> None:
    """A frozen payer can still cancel; nobody can while the token is paused."""
    payer = await token.payer()
    await token.rule("blacklist(address)", payer.address)
    assert await token.refusal(payer.sign("CancelAuthorization")) is None
    await token.rule("pause()")
    assert await token.refusal(payer.sign("CancelAuthorization")) == "Pausable: paused"


async def test_nothing_is_used_by_a_refused_payment(token: Token) -> None:
    """A mined revert leaves the authorization unused, so it can still be settled later."""
    payer = await token.payer(99)
    signed = payer.sign()
    assert (await token.do(signed.call()))["status"] == "0x0"
    assert not await token.used(signed)
    await token.payer(1, account=payer.address)
    assert await token.settle(signed) == USED_THEN_TRANSFER


async def test_balances_also_move_without_an_authorization(token: Token) -> None:
    """transfer, approve and transferFrom: a payer's money can be gone by other ways."""
    payer = await token.payer(300)
    assert (await token.do(calldata("transfer(address,uint256)", PAYEE, 100), payer.address))[
        "status"
    ] == "0x1"
    grant = calldata("approve(address,uint256)", token.anyone, 150)
    assert (await token.do(grant, payer.address))["status"] == "0x1"
    take = calldata("transferFrom(address,address,uint256)", payer.address, PAYEE, 150)
    assert (await token.do(take))["status"] == "0x1"
    assert (await token.do(take))["status"] == "0x0"
    assert await token.balance(payer.address) == 50
    assert await token.refusal(payer.sign()) == OVERDRAWN


async def test_only_the_owner_pauses_and_blacklists(token: Token) -> None:
    """A stranger can't stop the token."""
    for call in (calldata("pause()"), calldata("blacklist(address)", PAYEE)):
        assert (await token.do(call))["status"] == "0x0"
    assert await token.read("paused()") == 0


async def test_six_decimals(token: Token) -> None:
    """Amounts are in millionths."""
    assert await token.read("decimals()") == 6
