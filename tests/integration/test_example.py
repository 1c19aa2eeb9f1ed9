"""The README's example: a service that was given only environment variables, and curl."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onsettle.local.place import let_pass
from tests.harness.processes import bare_environment, free_port, is_ready, pay, running
from tests.harness.stack import environment_of


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onsettle-test-") as made:
        let_pass(Path(made))
        yield Path(made)


async def test_a_payment_posted_by_curl_is_settled(folder: Path) -> None:
    """`onsettle local`, `onsettle serve` in the environment that it prints, and the example."""
    bare = bare_environment()
    options = ("local", "--port", str(free_port()), "--block-time", "0.5")
    with running(folder, bare | {"ONSETTLE_DATA_DIR": str(folder)}, *options) as local:
        assert local.popen.stdout is not None
        printed = "".join(iter(local.popen.stdout.readline, "ready\n"))
        environment = {**bare, **environment_of(printed), "ONSETTLE_PORT": str(free_port())}
        with running(folder, environment, "serve") as service:
            await is_ready(environment)
            payment = await pay(environment)
            assert payment["status"] == "completed"
            assert len(payment["mints"]) == 1
            assert service.end() == 0
        assert local.end() == 0
