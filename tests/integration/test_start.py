"""What goes wrong at a start is told, and never ends anything in silence."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from onsettle import runtime
from onsettle.api.app import create_app
from onsettle.chain.signer import LocalSigner, SignerError
from onsettle.config import load
from onsettle.engine.network import Network
from onsettle.engine.notifier import Notifier
from onsettle.runtime import Engine
from onsettle.store.migrate import migrate
from onsettle.store.older_own import NotUpgradable
from onsettle.store.patience import Busy
from tests.harness.books import accepted
from tests.harness.http import serving
from tests.harness.processes import free_port, onsettle
from tests.harness.receiver import SECRET, receiving
from tests.harness.stack import Stack, eventually

_REFUSED = ConnectionRefusedError("nobody listens")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    monkeypatch.setattr(runtime, "_RETRY_S", 0.1)
    monkeypatch.setattr(runtime, "_LONGEST_RETRY_S", 0.2)


class Script:
    """Fails in the given ways, one after the other, each until the test says `next`."""

    def __init__(self, failures: Sequence[Exception], then: Any) -> None:
        self.failures = list(failures)
        self._then = then

    async def __call__(self, *args: Any, **more: Any) -> Any:
        if self.failures:
            raise self.failures[0]
        return await self._then(*args, **more)

    def next(self) -> None:
        self.failures.pop(0)


async def _says(http: httpx.AsyncClient, *words: str) -> None:
    """Wait until /readyz is 503 and says all of this."""

    async def told() -> bool:
        answer = await http.get("/readyz")
        problems = "\n".join(answer.json()["problems"])
        return answer.status_code == 503 and all(word in problems for word in words)

    await eventually(told, within_s=20)


async def _ready(http: httpx.AsyncClient) -> bool:
    return bool((await http.get("/readyz")).json() == {"ready": True, "problems": []})


async def test_whatever_fails_after_the_start_is_told_and_tried_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was down, then refuses to be prepared in ways nobody thought of, then the
    network and the worker fail in others: /readyz says each, and at last it settles."""
    database = Script(
        [_REFUSED, NotUpgradable("a view reads it"), Busy("held"), RuntimeError("strange")],
        migrate,
    )
    network = Script([KeyError("odd answer")], Network.open)
    webhooks = Script([ValueError("odd secret")], Notifier.open)
    monkeypatch.setattr(runtime, "migrate", database)
    monkeypatch.setattr(Network, "open", network)

    async def open_(self: Notifier) -> None:
        await webhooks(self)

    monkeypatch.setattr(Notifier, "open", open_)
    async with receiving() as receiver:
        environment = stack.environment(webhook_url=receiver.url, webhook_secret=SECRET)
        engine = await Engine.open(load(environment, stack.folder), wait_s=None)
        try:
            await engine.start()
            async with serving(create_app(engine)) as http:
                await _says(http, "the database does not answer: nobody listens")
                database.next()
                await _says(http, "can't be prepared: a view reads it")
                database.next()
                await _says(http, "can't be prepared: held")
                database.next()
                await _says(http, "RuntimeError: strange")
                database.next()
                await _says(http, "default: KeyError", "the worker can't be started: ValueError")
                network.next()
                await _says(http, "the worker can't be started", "the worker is not started")
                webhooks.next()
                await eventually(lambda: _ready(http), within_s=20)
            [payer] = await stack.payers(1)
            ids = await accepted(engine, [stack.body(engine, payer)])
            await stack.all_are(engine, ids, "completed")
            await engine.stop()
        finally:
            await engine.close()


async def test_a_network_that_is_not_open_yet_is_not_ready(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the database's first answer and the network's, /readyz is 503 and names it."""
    opened = asyncio.Event()
    plain = Network.open

    async def slow(*args: Any, **more: Any) -> Any:
        await opened.wait()
        return await plain(*args, **more)

    monkeypatch.setattr(runtime, "migrate", database := Script([_REFUSED], migrate))
    monkeypatch.setattr(Network, "open", slow)
    engine = await Engine.open(load(stack.environment(), stack.folder), wait_s=None)
    try:
        await engine.start()
        database.next()
        async with serving(create_app(engine)) as http:
            await _says(http, "default: not open yet")
            opened.set()
            await eventually(lambda: _ready(http), within_s=20)
        await engine.stop()
    finally:
        await engine.close()


async def test_keys_are_decrypted_once_and_beside_the_event_loop(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is opened again and again asks for no keystore again."""
    secret = bytes.fromhex(stack.keys[0][2:])
    keystore = stack.folder / "wallet.json"
    keystore.write_text(
        json.dumps(Account.encrypt(secret, "correct horse", kdf="pbkdf2", iterations=1000))
    )
    decrypted: list[int] = []
    plain = LocalSigner.from_keystore

    def counted(path: Path, password: str) -> LocalSigner:
        decrypted.append(threading.get_ident())
        return plain(path, password)

    monkeypatch.setattr(LocalSigner, "from_keystore", counted)
    network = Script([_REFUSED], Network.open)
    monkeypatch.setattr(Network, "open", network)
    environment = stack.environment(payment_keys=str(keystore), keystore_password="correct horse")
    engine = await Engine.open(load(environment, stack.folder))
    try:
        network.next()

        async def opened() -> bool:
            return bool(engine.networks)

        await eventually(opened, within_s=20)
    finally:
        await engine.close()
    assert len(decrypted) == 1
    assert decrypted != [threading.get_ident()]


async def test_a_key_that_can_not_be_used_ends_the_start(tmp_path: Path, stack: Stack) -> None:
    """With the database and the node down as well: clear words without the key, and no zero."""
    bad = "0x" + "00" * 32
    environment = stack.process_environment(
        payment_keys=bad,
        database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere",
        rpc_urls=f"http://127.0.0.1:{free_port()}",
    )
    for command in ("serve", "worker"):
        said = await asyncio.to_thread(onsettle, tmp_path, environment, command)
        assert said.returncode == 1
        assert "ONSETTLE_PAYMENT_KEYS, key 1 of 1: this number is not a private key" in said.stderr
        assert "0" * 32 not in said.stderr + said.stdout
    with pytest.raises(SignerError, match="ONSETTLE_MINT_KEYS, key 1 of 1"):
        await Engine.open(load(stack.environment(mint_keys=bad), tmp_path), wait_s=None)
