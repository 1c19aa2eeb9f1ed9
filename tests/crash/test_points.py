"""The list of points is read from the source, and nothing commits past them."""

from tests.crash.scan import every_point, names_in, writes_without_a_point


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
    """No statement of the engine goes to the pool past the place where the points are."""
    assert writes_without_a_point() == []
    assert {"sign:before", "broadcast:after", "attempts_answered:after"} <= every_point()
