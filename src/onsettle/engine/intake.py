"""Intake: check, deduplicate, commit, answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.admission import check_window, now, read_request, was_used
from onsettle.engine.adoption import take_over_known
from onsettle.engine.choice import Accepted, Candidate
from onsettle.engine.commits import GroupCommit
from onsettle.engine.network import Network
from onsettle.engine.request import Refused, Request
from onsettle.engine.settings import SettingsReader
from onsettle.engine.signatures import by_contract, by_key
from onsettle.store.database import Database

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

    async def submit(self, body: Mapping[str, object]) -> Accepted:
        """Commit one payment; raises Refused."""
        answer = (await self.submit_many([body]))[0]
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def submit_many(self, bodies: Sequence[Mapping[str, object]]) -> list[Accepted | Refused]:
        """Commit many payments at once: one answer each, in order."""
        if len(bodies) > MAX_BATCH:
            raise Refused("batch_too_large", f"at most {MAX_BATCH} payments at once")
        settings = await self._settings.get()
        checked = await self.check(bodies)
        candidates = [
            await self._candidate(item, settings) for item in checked if isinstance(item, Request)
        ]
        await self._meet_older(candidates)
        answers = iter(await self._commits.commit(candidates, settings) if candidates else ())
        return [item if isinstance(item, Refused) else next(answers) for item in checked]

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

    async def check(self, bodies: Sequence[object]) -> list[Request | Refused]:
        """Read and check each without its window: form, catalogue, signature. Nothing is stored."""
        if len(bodies) <= _INLINE:
            read = [self._read(body) for body in bodies]
        else:
            read = await asyncio.to_thread(lambda: [self._read(body) for body in bodies])
        unsigned: dict[int, list[int]] = {}
        for at, (item, signed) in enumerate(read):
            if isinstance(item, Request) and not signed:
                unsigned.setdefault(item.chain_id, []).append(at)
        checked = [item for item, _ in read]
        for chain_id, places in unsigned.items():
            asked = [item for at in places if isinstance(item := checked[at], Request)]
            verdicts = await by_contract(self._networks[chain_id], asked)
            for at, refusal in zip(places, verdicts, strict=True):
                checked[at] = refusal or checked[at]
        return checked

    def _read(self, body: object) -> tuple[Request | Refused, bool]:
        """The request, and whether the payer's key has signed it."""
        try:
            network, request = read_request(body, self._networks, configured=self._configured)
        except Refused as refused:
            return refused, False
        signed = by_key(request, network.domains[request.asset].separator)
        return signed or request, signed is not None

    async def _candidate(self, request: Request, settings: RuntimeSettings) -> Candidate:
        network = self._networks[request.chain_id]
        try:
            check_window(request, await now(network), settings)
        except Refused as refused:
            if refused.code != "expired":
                return Candidate(request=request, refusal=refused)
            return await self._expired(network, request, refused)
        return Candidate(request=request)

    async def _expired(self, network: Network, request: Request, refused: Refused) -> Candidate:
        try:
            if await was_used(network, request):
                return Candidate(request=request, looked_up=True)
        except Refused as unreadable:
            refused = unreadable
        # Only where it is not known already: the same payment again gets the same row.
        return Candidate(request=request, refusal=refused)
