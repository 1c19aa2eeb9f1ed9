"""The whole product once, for real: database, chain, signatures, mints, audit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(240)
def test_the_demo_settles_and_mints_every_good_payment(tmp_path: Path) -> None:
    """Fifty payments complete and mint once each; the bad ones are told apart; the books agree."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ONSETTLE_")}
    environment.pop("DATABASE_URL", None)
    run = subprocess.run(
        [str(Path(sys.executable).with_name("onsettle")), "demo", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    result = json.loads(run.stdout)
    assert result["completed"] == 50
    assert result["mints_completed"] == 50
    assert result["verify_ok"] is True
    assert result["refused"] == 1
    assert result["failed"] == 1
    assert result["duplicates"] == 1
    assert result["sync"]["seconds_to_completed"] > result["seconds_to_completed"]
