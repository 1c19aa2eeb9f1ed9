"""A payer of the tests of the payment token: signs all three kinds of EIP-3009 by eth-account."""

import secrets
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

from onsettle.chain.rpc import Pool
from tests.harness.contracts import act, calldata, deploy, mined, refusal

FOR_EVER = 2**255
_TRANSFER = "address,address,uint256,uint256,uint256,bytes32"
_VRS, _BYTES = ",uint8,bytes32,bytes32", ",bytes"
_FIELDS = {
    "TransferWithAuthorization": ("from", "to", "value", "validAfter", "validBefore", "nonce"),
    "ReceiveWithAuthorization": ("from", "to", "value", "validAfter", "validBefore", "nonce"),
    "CancelAuthorization": ("authorizer", "nonce"),
}
_TYPES = {
    "value": "uint256", "validAfter": "uint256", "validBefore": "uint256", "nonce": "bytes32",
    "from": "address", "to": "address", "authorizer": "address",
}  # fmt: skip
_METHOD = {kind: kind[0].lower() + kind[1:] for kind in _FIELDS}
PAYEE = "0x" + "22" * 20
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def high_s(signature: bytes) -> bytes:
    """The other signature of the same key and digest, that EIP-2 forbids."""
    s = _ORDER - int.from_bytes(signature[32:64], "big")
    assert s > _HALF_ORDER
    return signature[:32] + s.to_bytes(32, "big") + bytes([27 + 28 - signature[64]])


class Signed:
    """An authorization: its kind, its fields, and a signature that a test may spoil."""

    def __init__(self, kind: str, values: dict[str, Any], signature: bytes) -> None:
        self.kind = kind
        self.values = values
        self.signature = signature

    def call(self, *, as_bytes: bool = False) -> str:
        fields = _FIELDS[self.kind]
        types = ",".join(_TYPES[name] for name in fields)
        method = f"{_METHOD[self.kind]}({types}{_BYTES if as_bytes else _VRS})"
        given: list[object] = [self.values[name] for name in fields]
        r, s, v = self.signature[:32], self.signature[32:64], self.signature[64:65]
        given += [self.signature] if as_bytes else [v[0], r, s]
        return calldata(method, *given)


class Payer:
    """A key, the account it pays from, and the token that it signs for."""

    def __init__(self, token: "Token", account: str | None = None) -> None:
        self.key = "0x" + secrets.token_hex(32)
        self.signer = str(Account.from_key(self.key).address).lower()
        self.address = account or self.signer
        self.token = token

    def sign(
        self,
        kind: str = "TransferWithAuthorization",
        domain: dict[str, Any] | None = None,
        **changed: Any,
    ) -> Signed:
        values = {
            "from": self.address, "authorizer": self.address, "to": PAYEE, "value": 100,
            "validAfter": 0, "validBefore": FOR_EVER, "nonce": "0x" + secrets.token_hex(32),
        } | changed  # fmt: skip
        fields = [{"name": name, "type": _TYPES[name]} for name in _FIELDS[kind]]
        message = encode_typed_data(
            domain_data=self.token.domain | (domain or {}),
            message_types={kind: fields},
            message_data={name: values[name] for name in _FIELDS[kind]},
        )
        signed = Account.sign_message(message, self.key)
        return Signed(kind, values, bytes(signed.signature))


class Token:
    """A deployed payment token, and what the tests ask of it."""

    def __init__(self, rpc: Pool, address: str) -> None:
        self.rpc = rpc
        self.address = address
        self.domain: dict[str, Any] = {
            "name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": address,
        }  # fmt: skip
        self.anyone = "0x" + secrets.token_hex(20)
        self.owner = "0x" + "de" * 20

    @classmethod
    async def deployed(cls, rpc: Pool, name: str = "PaymentToken") -> "Token":
        return cls(rpc, await deploy(rpc, name))

    async def payer(self, balance: int = 1000, account: str | None = None) -> Payer:
        payer = Payer(self, account)
        if balance:
            await self.do(calldata("mint(address,uint256)", payer.address, balance))
        return payer

    async def do(self, data: str, sender: str | None = None) -> dict[str, Any]:
        """Mine a call; its receipt, whatever came of it."""
        sent = await act(self.rpc, sender or self.anyone, self.address, data)
        return await mined(self.rpc, sent)

    async def rule(self, signature: str, *args: object) -> None:
        """A call of the owner's, that must work."""
        receipt = await self.do(calldata(signature, *args), self.owner)
        assert receipt["status"] == "0x1", signature

    async def settle(self, signed: Signed, *, as_bytes: bool = False, **more: Any) -> list[str]:
        """The names of the events, in order; an assertion error when it reverted."""
        receipt = await self.do(signed.call(as_bytes=as_bytes), **more)
        assert receipt["status"] == "0x1", await self.refusal(signed, as_bytes=as_bytes, **more)
        return [log["topics"][0] for log in receipt["logs"]]

    async def refusal(
        self, signed: Signed, *, as_bytes: bool = False, sender: str | None = None
    ) -> str | None:
        data = signed.call(as_bytes=as_bytes)
        return await refusal(self.rpc, sender or self.anyone, self.address, data)

    async def read(self, signature: str, *args: object) -> int:
        call = {"to": self.address, "data": calldata(signature, *args)}
        return int(str(await self.rpc.call("eth_call", call, "latest")), 16)

    async def balance(self, account: str) -> int:
        return await self.read("balanceOf(address)", account)

    async def used(self, signed: Signed) -> bool:
        payer = signed.values["authorizer"]
        nonce = signed.values["nonce"]
        return bool(await self.read("authorizationState(address,bytes32)", payer, nonce))
