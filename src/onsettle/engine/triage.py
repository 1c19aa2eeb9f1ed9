"""What becomes of payments that can't be sent now: failed for what is their own, or held."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import structlog

from onsettle.chain import abi
from onsettle.chain.codec import selector
from onsettle.chain.crypto import authorization_digest, recover
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert
from onsettle.domain.payment import Reason
from onsettle.engine.candidate import Candidate
from onsettle.engine.named import read_at
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
# A chain whose last block is older makes its next one when a transaction comes, or after a gap: the
# time of that block is the wall clock's, and no block is under way that is older than this.
_IDLE_S = 15
_SURE_S = 4

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
            elif auth.valid_after < view.time:
                ready.append(candidate)
            elif now - view.time > _IDLE_S and auth.valid_after < now - _SURE_S:
                ready.append(replace(candidate, opening=True))
            else:
                early.append(candidate)
        # Expired by the chain: somebody may have landed it, so it is looked up.
        await self._look_up(over)
        await self._fail(short, Reason.VALIDITY_TOO_SHORT, "too little validity is left")
        await self.hold([(c, "not valid yet by the chain's clock") for c in early])
        return ready

    async def judge(
        self, refused: Sequence[tuple[Candidate, Trial]], passed: set[str], view: View
    ) -> list[Candidate]:
        """`refused` did not pass their trial; `passed` are assets of which some transfer did.

        Returns those that pass after all: of an idle chain's last block only the time refuses them.
        """
        waiting = [(c, t.reason) for c, t in refused if t.undecided or view.behind]
        judged = [(c, t.reason) for c, t in refused if not (t.undecided or view.behind)]
        opening = [(c, text) for c, text in judged if c.opening and early(text)]
        own: list[tuple[Candidate, str]] = []
        strange: dict[tuple[str, str], list[tuple[Candidate, str]]] = defaultdict(list)
        for candidate, text in judged:
            asset = candidate.asset
            if candidate.opening and early(text):
                continue
            if asset not in passed and (asset in self._held or "pause" in text.lower()):
                self._hold_asset(asset, text)
                waiting.append((candidate, text))
            elif asset in passed or _personal(text):
                own.append((candidate, text))
            else:
                strange[asset, text].append((candidate, text))
        for (asset, text), pairs in strange.items():
            waiting += await self._strange(asset, text, pairs, view)
        waiting += await self._verdicts(own, view)
        going = await self._verdicts(opening, view)
        await self.hold([(c, f"waits: {text or 'the transfer reverts'}") for c, text in waiting])
        return [c for c, _ in going]

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
        """Fail what is its own and permanent; what is not explained is given back.

        Each rests on reads at the view's block. What can't be read is no verdict: it waits.
        """
        reads = [
            Call("eth_call", ({"to": c.asset, "data": "0x" + data.hex()},))
            for c, _ in refused
            for data in (
                abi.authorization_state(c.authorization.payer, c.authorization.nonce),
                abi.balance_of(c.authorization.payer),
            )
        ]
        answers = await read_at(view.endpoint, view.block, reads)
        used: list[Candidate] = []
        unread: list[tuple[Candidate, str]] = []
        verdicts: dict[tuple[Reason, str], list[Candidate]] = defaultdict(list)
        unexplained: list[tuple[Candidate, str]] = []
        for at, (candidate, text) in enumerate(refused):
            value = candidate.authorization.value
            try:
                spent, balance = number(answers[2 * at]), number(answers[2 * at + 1])
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
                    unexplained.append((candidate, text))
            except (RpcError, RpcUnavailable) as error:
                unread.append((candidate, f"{text}; it can't be told why: {error}"))
        await self._look_up(used)
        for (reason, words), failed in verdicts.items():
            await self._fail(failed, reason, words)
        await self.hold(unread)
        return unexplained

    async def _signature_fault(self, candidate: Candidate, view: View) -> str | None:
        """Who says that the payer did not sign; None: nobody does.

        Raises RpcError where the node can't tell: it has not said no.
        """
        auth = candidate.authorization
        domain = self._network.domains.get(candidate.asset)
        if domain is None:
            return None
        digest = authorization_digest(domain.separator, auth)
        if not unhex(await self._read(view, "eth_getCode", auth.payer)):
            fault = "the signature is not the payer's"
            return fault if recover(digest, auth.signature) != auth.payer else None
        fault = "the payer's account has code (a contract, or EIP-7702), which refuses it"
        data = "0x" + abi.is_valid_signature(digest, auth.signature).hex()
        answer = await self._read(view, "eth_call", {"to": auth.payer, "data": data})
        if isinstance(answer, RpcError) and is_revert(answer):
            return fault
        return fault if unhex(answer)[:32] != abi.MAGIC_VALID_SIGNATURE else None

    async def _blacklisted(self, candidate: Candidate, view: View) -> bool:
        """Raises RpcError where the node can't tell."""
        payer = candidate.authorization.payer
        data = "0x" + _IS_BLACKLISTED + "0" * 24 + payer[2:]
        answer = await self._read(view, "eth_call", {"to": candidate.asset, "data": data})
        if isinstance(answer, RpcError) and is_revert(answer):
            return False  # a token without such a method
        return number(answer) == 1

    @staticmethod
    async def _read(view: View, method: str, what: object) -> object:
        [answer] = await read_at(view.endpoint, view.block, [Call(method, (what,))])
        return answer

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

    async def wait(self, candidates: Sequence[Candidate], text: str) -> None:
        """Nothing was found out about any of these: they are tried again soon."""
        seconds = [_SHORTEST_HOLD_S] * len(candidates)
        await self._write_hold(candidates, seconds, [f"waits: {text}"] * len(candidates))

    async def hold(self, held: Sequence[tuple[Candidate, str]]) -> None:
        """Tried again later; the longer it has waited, the longer, so that others go first."""
        now = time.time()
        ages = [now - c.created_at.timestamp() for c, _ in held]
        seconds = [min(max(age / 4, _SHORTEST_HOLD_S), _LONGEST_HOLD_S) for age in ages]
        await self._write_hold([c for c, _ in held], seconds, [text for _, text in held])

    async def _write_hold(
        self, candidates: Sequence[Candidate], seconds: Sequence[float], texts: Sequence[str]
    ) -> None:
        if candidates:
            ids = [c.id for c in candidates]
            await self._db.execute("payments_hold", ids, list(seconds), list(texts))


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


def early(text: str) -> bool:
    """Whether a revert may speak of a window that has not opened: in words, or without any."""
    lower = text.lower()
    return not text or text.startswith("0x") or ("valid" in lower and "invalid" not in lower)
