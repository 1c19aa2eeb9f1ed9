"""Operating by HTTP changes what was meant, all of it or nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from onsettle.local.payers import Payer
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

_REFUSING = """
create function refuse() returns trigger language plpgsql as $$
begin
    raise exception 'no place left' using errcode = 'disk_full';
end $$;
create trigger refuse before insert or update on system_settings
    for each row when (new.key = 'payment_pack_size') execute function refuse();
"""


@asynccontextmanager
async def _refusing_a_setting(api: Api) -> AsyncIterator[None]:
    await api.engine.db.pool.execute(_REFUSING)
    try:
        yield
    finally:
        await api.engine.db.pool.execute("drop function refuse() cascade")


async def test_settings_are_changed_together_or_not_at_all(guarded: Api) -> None:
    """The database fails after the first of three: none of them is changed."""
    before = await guarded.engine.db.fetch("settings_read")
    changes = {"payment_batch_size": 77, "payment_pack_size": 7, "max_fee_gwei": 77}
    async with _refusing_a_setting(guarded):
        failed = await guarded.http.patch("/v1/admin/settings", json=changes)
        assert failed.status_code >= 500
    assert await guarded.engine.db.fetch("settings_read") == before
    changed = await guarded.http.patch("/v1/admin/settings", json=changes)
    values = {row["key"]: row["value"] for row in changed.json()["settings"]}
    assert {name: values[name] for name in changes} == {n: str(v) for n, v in changes.items()}


@pytest.mark.parametrize("value", ["true", "false", 1, 0, None, [], {}])
async def test_a_dry_run_is_true_or_false(guarded: Api, value: object) -> None:
    """Anything else is refused: taken for false it would send what was only to be looked at."""
    body = guarded.stack.body(guarded.engine, Payer())
    accepted = await guarded.engine.intake.submit(body)
    asked = {"ids": [str(accepted.id)], "dry_run": value}
    answer = await guarded.http.post("/v1/admin/retry", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "dry_run" in answer.json()["detail"]
    for right in (True, False):
        asked = {"ids": [str(UUID(int=9))], "dry_run": right}
        assert (await guarded.http.post("/v1/admin/retry", json=asked)).status_code == 200
