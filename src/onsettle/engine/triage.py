"""What becomes of payments that can't be sent now: failed for what is their own, or held."""

import time
from collections import defaultdict
from collections.abc import Sequence

import structlog

from onsettle.chain import abi
from onsettle.chain.codec import selector
from onsettle.chain.crypto import authorization_digest, recover
from onsettle.chain.jsonrpc import Call, RpcError
from onsettle.chain.reverts import is_revert
from onsettle.domain.payment import Reason
from onsettle.engine.candidate import Candidate
from onsettle.engine.network import Network, number, unhex
from onsettle.engine.simulation import Trial
from onsettle.engine.unit import View
from onsettle.store.database import Database

log = structlog.get_logger()

# Less than this left at signing: it would burn gas as a revert.
_TOO_SHORT_S = 4
_SHORTEST_HOLD_S = 2.0
_LONGEST_HOLD_S = 300.0
# A balance seen in a block older than the payment may not show what the payer was just given.
_PATIENCE_S = 10.0
# This many refusals of one asset in one batch, none that passes and nothing that explains them: it
# is the asset.
_ASSET_WIDE = 3
# So many of a batch are looked at one by one to find that out.
_TELLING = 8

_IS_BLACKLISTED = selector("isBlacklisted(address)").hex()


class Triage:
    """Verdicts on waiting payments. A node that is behind decides nothing."""

    def __init__(self, db: Database, network: Network) -> None:
        self._db = db
        self._network = network
        self._held: dict[str, float] = {}

    @property
    def held_assets(self) -> list[str]:
        """Assets that move nothing at the moment; each is tried again every few seconds."""
        now = time.monotonic()
        self._held = {asset: until for asset, until in self._held.items() if until > now}
        return list(self._held)

    async def in_time(self, candidates: Sequence[Candidate], view: View) -> list[Candidate]:
        """Those whose window is open; what can't be mined in time any more fails."""
        now = max(view.time, int(time.time()))
        ready: list[Candidate] = []
        over: list[Candidate] = []
        short: list[Candidate] = []
        early: list[Candidate] = []
        for candidate in candidates:
            auth = candidate.authorization
            if auth.valid_before <= view.time:
                over.append(candidate)
            elif auth.valid_before < now + _TOO_SHORT_S:
                short.append(candidate)
            elif auth.valid_after >= view.time:
                early.append(candidate)
            else:
                ready.append(candidate)
        # Expired by the chain: somebody may have landed it, so it is looked up.
        await self._look_up(over)
        await self._fail(short, Reason.VALIDITY_TOO_SHORT, "too little validity is left")
        await self._hold([(c, "not valid yet by the chain's clock") for c in early])
        return ready

    async def judge(
        self, refused: Sequence[tuple[Candidate, Trial]], passed: set[str], view: View
    ) -> None:
        """`refused` did not pass their trial; `passed` are assets of which some transfer did."""
        waiting = [(c, t.reason) for c, t in refused if t.undecided or view.behind]
        judged = [(c, t.reason) for c, t in refused if not (t.undecided or view.behind)]
        own: list[tuple[Candidate, str]] = []
        strange: dict[tuple[str, str], list[tuple[Candidate, str]]] = defaultdict(list)
        for candidate, text in judged:
            asset = candidate.asset
            if asset not in passed and (asset in self._held or "pause" in text.lower()):
                self._hold_asset(asset, text)
                waiting.append((candidate, text))
            elif asset in passed or _personal(text):
                own.append((candidate, text))
            else:
                strange[asset, text].append((candidate, text))
        for (asset, text), pairs in strange.items():
            waiting += await self._strange(asset, text, pairs, view)
        if own:
            waiting += await self._verdicts(own, view)
        await self._hold([(c, f"waits: {text or 'the transfer reverts'}") for c, text in waiting])

    async def _strange(
        self, asset: str, text: str, pairs: Sequence[tuple[Candidate, str]], view: View
    ) -> list[tuple[Candidate, str]]:
        """Refused in words that say nothing: it may be each payment's own fault, or the token's.

        A few tell. Where nothing of theirs explains it, it is the asset; those that wait.
        """
        few, rest = pairs[:_TELLING], pairs[_TELLING:]
        unexplained = await self._verdicts(few, view)
        if len(unexplained) == len(few) and len(pairs) >= _ASSET_WIDE:
            self._hold_asset(asset, text)
            return [*pairs]
        return [*unexplained, *(await self._verdicts(rest, view) if rest else ())]

    def _hold_asset(self, asset: str, text: str) -> None:
        """An asset-wide refusal holds the whole asset, those that were not tried yet too."""
        if asset not in self._held:
            self._held[asset] = time.monotonic() + _SHORTEST_HOLD_S
            log.warning("asset_held", asset=asset, reason=text)

    async def _verdicts(
        self, refused: Sequence[tuple[Candidate, str]], view: View
    ) -> list[tuple[Candidate, str]]:
        """Fail what is its own and permanent; the rest is given back with why it waits."""
        reads = [
            Call("eth_call", ({"to": c.asset, "data": "0x" + data.hex()}, "latest"))
            for c, _ in refused
            for data in (
                abi.authorization_state(c.authorization.payer, c.authorization.nonce),
                abi.balance_of(c.authorization.payer),
            )
        ]
        answers = await view.endpoint.batch(reads)
        used: list[Candidate] = []
        verdicts: dict[tuple[Reason, str], list[Candidate]] = defaultdict(list)
        waiting: list[tuple[Candidate, str]] = []
        for at, (candidate, text) in enumerate(refused):
            try:
                spent, balance = number(answers[2 * at]), number(answers[2 * at + 1])
            except RpcError:
                # No verdict on this one; the others have theirs.
                waiting.append((candidate, text))
                continue
            value = candidate.authorization.value
            if spent:
                used.append(candidate)
            elif balance < value and _seen_since(candidate, view):
                words = f"the payer holds {balance} of {value}"
                verdicts[Reason.INSUFFICIENT_BALANCE, words].append(candidate)
            elif "signature" in text.lower() and (
                fault := await self._signature_fault(candidate, view)
            ):
                verdicts[Reason.SIGNATURE_INVALID, f"{text}: {fault}"].append(candidate)
            elif "blacklist" in text.lower() and await self._blacklisted(candidate, view):
                words = "the token's issuer blocks the payer"
                verdicts[Reason.BLACKLISTED, words].append(candidate)
            else:
                waiting.append((candidate, text))
        await self._look_up(used)
        for (reason, words), failed in verdicts.items():
            await self._fail(failed, reason, words)
        return waiting

    async def _signature_fault(self, candidate: Candidate, view: View) -> str | None:
        """Who says that the payer did not sign; None: nobody does."""
        auth = candidate.authorization
        domain = self._network.domains.get(candidate.asset)
        if domain is None:
            return None
        digest = authorization_digest(domain.separator, auth)
        code = await view.endpoint.call("eth_getCode", auth.payer, "latest")
        if code in ("0x", None):
            fault = "the signature is not the payer's"
            return fault if recover(digest, auth.signature) != auth.payer else None
        data = "0x" + abi.is_valid_signature(digest, auth.signature).hex()
        fault = "the payer's account has code (a contract, or EIP-7702), which refuses it"
        try:
            call = {"to": auth.payer, "data": data}
            answer = unhex(await view.endpoint.call("eth_call", call, "latest"))
        except RpcError as error:
            # A node that could not run it has not said no.
            return fault if is_revert(error) else None
        return fault if answer[:32] != abi.MAGIC_VALID_SIGNATURE else None

    async def _blacklisted(self, candidate: Candidate, view: View) -> bool:
        payer = candidate.authorization.payer
        data = "0x" + _IS_BLACKLISTED + "0" * 24 + payer[2:]
        try:
            call = {"to": candidate.asset, "data": data}
            return number(await view.endpoint.call("eth_call", call, "latest")) == 1
        except RpcError:
            return False

    async def _look_up(self, candidates: Sequence[Candidate]) -> None:
        if candidates:
            await self._db.execute("payments_need_lookup", [c.id for c in candidates])

    async def _fail(self, candidates: Sequence[Candidate], reason: Reason, text: str) -> None:
        if candidates:
            ids = [c.id for c in candidates]
            await self._db.execute(
                "payments_fail_pending",
                ids,
                [reason.value] * len(ids),
                [text] * len(ids),
                [False] * len(ids),
            )
            log.info("payments_failed", reason=reason.value, count=len(ids), detail=text)

    async def _hold(self, held: Sequence[tuple[Candidate, str]]) -> None:
        """Tried again later; the longer it has waited, the longer, so that others go first."""
        if held:
            now = time.time()
            await self._db.execute(
                "payments_hold",
                [c.id for c, _ in held],
                [
                    min(
                        max((now - c.created_at.timestamp()) / 4, _SHORTEST_HOLD_S), _LONGEST_HOLD_S
                    )
                    for c, _ in held
                ],
                [text for _, text in held],
            )


def _seen_since(candidate: Candidate, view: View) -> bool:
    accepted = candidate.created_at.timestamp()
    return view.time > accepted or time.time() - accepted > _PATIENCE_S


def _personal(text: str) -> bool:
    """Whether a revert speaks of the payer or the authorization rather than of the token."""
    lower = text.lower()
    return any(
        word in lower
        for word in ("balance", "signature", "signer", "used", "authorization", "blacklist")
    )
