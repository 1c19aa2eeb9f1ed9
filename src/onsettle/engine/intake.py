"""Intake: check, deduplicate, commit, answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.admission import check_window, now, read_request, was_used
from onsettle.engine.adoption import take_over_known
from onsettle.engine.choice import Accepted, Candidate, Identity, answer_known
from onsettle.engine.commits import GroupCommit, read_known
from onsettle.engine.network import Network
from onsettle.engine.request import Refused, Request
from onsettle.engine.settings import SettingsReader
from onsettle.engine.signatures import by_contract, by_key
from onsettle.store.database import Database, Record

MAX_BATCH = 500
# Recovering a key takes 60 us: a few are quicker than a thread, many would hold up the loop.
_INLINE = 8

__all__ = ["MAX_BATCH", "Accepted", "Intake"]


class Intake:
    """Takes payments for the networks that are open. Safe to run in any number of processes."""

    def __init__(
        self,
        db: Database,
        networks: Mapping[int, Network],
        settings: SettingsReader,
        configured: int = 1,
        committed: Callable[[], None] = lambda: None,
        *,
        assets: Sequence[str] = (),
    ) -> None:
        """`configured` networks with these `assets` there are, open or not.

        `committed` is called whenever new payments are in the queue.
        """
        self._db = db
        self._networks = networks
        self._settings = settings
        self._configured = configured
        self._assets = assets
        self._commits = GroupCommit(db, committed)
        self._older_left = True
        self._met_with: set[int] = set()

    async def submit(self, body: Mapping[str, object], *, alone: bool = False) -> Accepted:
        """Commit one payment; raises Refused. `alone`: it is never packed with others."""
        answer = (await self.submit_many([body], alone=alone))[0]
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def judge(self, body: Mapping[str, object]) -> tuple[Request, Accepted | None]:
        """What submitting this would be answered now; nothing is stored.

        The payment, and its row where it is known. Raises Refused, also for a known one that would
        not be taken today.
        """
        [item] = await self.examine([body])
        if isinstance(item, Refused):
            raise item
        if item.refusal is not None:
            raise item.refusal
        await self._meet_older([item])
        answer = await self._commits.judge(item, await self._settings.get())
        if isinstance(answer, Refused):
            raise answer
        return item.request, answer

    async def submit_many(
        self, bodies: Sequence[Mapping[str, object]], *, alone: bool = False
    ) -> list[Accepted | Refused]:
        """Commit many payments at once: one answer each, in order."""
        if len(bodies) > MAX_BATCH:
            raise Refused("batch_too_large", f"at most {MAX_BATCH} payments at once")
        settings = await self._settings.get()
        examined = await self.examine(bodies)
        candidates = [item for item in examined if isinstance(item, Candidate)]
        await self._meet_older(candidates)
        known = await self._known([c.request for c in candidates if c.refusal is not None])
        taken = [replace(c, alone=alone) for c in candidates if c.refusal is None]
        answers = iter(await self._commits.commit(taken, settings) if taken else ())
        return [
            item if isinstance(item, Refused) else _refused(item, known) or next(answers)
            for item in examined
        ]

    async def _meet_older(self, candidates: Sequence[Candidate]) -> None:
        """A payment of the older server that nobody has asked for since is known all the same."""
        if not candidates:
            return
        if (opened := set(self._networks)) != self._met_with:
            self._older_left, self._met_with = True, opened
        if self._older_left:
            self._older_left = await self._db.fetchval("adoption_any")
            if self._older_left:
                nonces = [candidate.request.authorization.nonce for candidate in candidates]
                await take_over_known(self._db, self._assets, nonces)

    async def _known(self, refused: Sequence[Request]) -> dict[Identity, Record]:
        """What would not be taken today may have been taken before, and is the same row then."""
        if not refused:
            return {}
        async with self._db.pool.acquire() as connection:
            return await read_known(connection, refused)

    async def examine(self, bodies: Sequence[object]) -> list[Candidate | Refused]:
        """Check each: form, network, catalogue, signature, window. Nothing is stored.

        Refused is what is no payment at all; what is one, and is not taken, has a refusal.
        """
        if len(bodies) <= _INLINE:
            read = [self._read(body) for body in bodies]
        else:
            read = await asyncio.to_thread(lambda: [self._read(body) for body in bodies])
        settings = await self._settings.get()
        return [
            await self._in_time(item, settings)
            if isinstance(item, Candidate) and item.refusal is None
            else item
            for item in await self._ask_contracts(read)
        ]

    def _read(self, body: object) -> Candidate | Refused:
        try:
            reading = read_request(body, self._networks, configured=self._configured)
        except Refused as refused:
            return refused
        request, network = reading.request, reading.network
        # A key's signature is taken here although the token asks the contract of every payer with
        # code, delegated accounts (EIP-7702) among them: whether there is code would cost a call
        # for each payment, and may change until it is sent. The sender's simulation runs the
        # token's own check on the latest state for every payment anyway, before anything is
        # signed: a contract that says no fails the payment there, and burns no gas.
        domain = None if network is None else network.domains.get(request.asset)
        signed = None if domain is None else by_key(request, domain.separator)
        return Candidate(
            request=signed or request, refusal=reading.refusal, signed=signed is not None
        )

    async def _ask_contracts(
        self, read: Sequence[Candidate | Refused]
    ) -> list[Candidate | Refused]:
        """What the payer's key did not sign may be signed by the payer's contract."""
        checked = list(read)
        unsigned: dict[int, list[tuple[int, Candidate]]] = {}
        for at, item in enumerate(read):
            if isinstance(item, Candidate) and item.refusal is None and not item.signed:
                unsigned.setdefault(item.request.chain_id, []).append((at, item))
        for chain_id, asked in unsigned.items():
            requests = [item.request for _, item in asked]
            verdicts = await by_contract(self._networks[chain_id], requests)
            for (at, item), refusal in zip(asked, verdicts, strict=True):
                checked[at] = replace(item, refusal=refusal, signed=refusal is None)
        return checked

    async def _in_time(self, candidate: Candidate, settings: RuntimeSettings) -> Candidate:
        network = self._networks[candidate.request.chain_id]
        try:
            check_window(candidate.request, await now(network), settings)
        except Refused as refused:
            if refused.code != "expired":
                return replace(candidate, refusal=refused)
            return await self._expired(network, candidate, refused)
        return candidate

    async def _expired(self, network: Network, candidate: Candidate, refused: Refused) -> Candidate:
        try:
            if await was_used(network, candidate.request):
                return replace(candidate, looked_up=True)
        except Refused as unreadable:
            refused = unreadable
        return replace(candidate, refusal=refused)


def _refused(candidate: Candidate, known: Mapping[Identity, Record]) -> Accepted | Refused | None:
    """The answer to what is not taken: its row where it was taken before. None: it is taken."""
    if candidate.refusal is None:
        return None
    row = known.get(candidate.request.identity)
    return candidate.refusal if row is None else answer_known(row, candidate)
