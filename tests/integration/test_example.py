"""The README's examples: nothing but environment variables, with curl and without."""

import sys
from pathlib import Path

from tests.harness.processes import bare_environment, free_port, is_ready, pay, running, script
from tests.harness.stack import environment_of


async def test_the_examples_settle(data_folder: Path) -> None:
    """`onsettle local`, `onsettle serve` in the environment that it prints, pay.sh and sell.py."""
    bare = bare_environment()
    options = ("local", "--port", str(free_port()), "--block-time", "0.5")
    with running(data_folder, bare | {"ONSETTLE_DATA_DIR": str(data_folder)}, *options) as local:
        assert local.popen.stdout is not None
        printed = "".join(iter(local.popen.stdout.readline, "ready\n"))
        environment = {**bare, **environment_of(printed), "ONSETTLE_PORT": str(free_port())}
        with running(data_folder, environment, "serve") as service:
            await is_ready(environment)
            payment = await pay(environment)
            assert payment["status"] == "completed"
            assert len(payment["mints"]) == 1
            assert service.end() == 0
        sold = await script(
            f"{sys.executable} examples/sign.py | {sys.executable} examples/sell.py", environment
        )
        assert " paid 10000 in 0x" in sold
        assert local.end() == 0
