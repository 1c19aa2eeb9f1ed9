"""The list of points is read from the source, and nothing commits past them."""

from tests.crash.scan import every_point, names_in, past_points, writes_without_a_point


def test_a_new_commit_is_in_the_list_by_itself() -> None:
    """A transaction is named by its function or by hand, a writing statement by its query."""
    code = """
class Loop:
    async def tick(self):
        async with self._db.transaction() as connection:
            await connection.execute(sql("payments_moved"), 1)
        await self._db.execute("payments_final", 1)
        await self._db.fetch("payments_by_ids", 1)
        async with self._fenced("sign") as (connection, wallet):
            pass
"""
    assert names_in(code, "loop") == {"loop.Loop.tick", "payments_final", "sign"}


def test_every_commit_of_the_engine_passes_a_point() -> None:
    """No statement of the engine, the API or a command goes to the pool past the place where the
    points are, and none reaches out where no point is."""
    assert writes_without_a_point() == []
    assert {"sign:before", "broadcast:after", "attempts_answered:after"} <= every_point()
    assert {"wallet_pause:after", "setting_write:after", "alarms_seen:after"} <= every_point()


def test_what_goes_past_the_points_is_found() -> None:
    """The pool itself, a connection taken from it, a request and raw bytes: each by its line."""
    code = """
class Loop:
    async def tick(self):
        await self._db.pool.execute("delete from payment_queue")
    async def by_hand(self):
        async with self._db.pool.acquire() as connection:
            await _helper(connection)
    async def reads(self):
        async with self._db.pool.acquire() as connection:
            await connection.fetch(sql("payments_by_ids"), [])
    async def tell(self):
        await self._session.post(self._url)
    async def told(self):
        with points.around("webhook"):
            await self._session.post(self._url)
    async def send(self):
        await self._network.pool.call("eth_sendRawTransaction", "0x")

async def _helper(connection):
    await connection.execute(sql("payments_moved"))
"""
    assert past_points(code) == [4, 6, 12, 17]
