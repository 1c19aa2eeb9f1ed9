"""The benchmark measures what it says, on a small load."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_small_run_tells_every_figure_of_a_profile_and_the_floor(tmp_path: Path) -> None:
    """One JSON object: every payment completed and minted, with its rates, costs and floor."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ONSETTLE_")}
    environment.pop("DATABASE_URL", None)
    run = subprocess.run(
        [
            str(Path(sys.executable).with_name("onsettle")),
            *("bench", "--json", "--profiles", "default,guide,floor", "--payments", "40"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    result = json.loads(run.stdout)
    found = result["profiles"]["default"]
    assert found["completed"] == found["mints"] == 40
    assert found["payments_per_second"] >= found["with_mints_per_second"] > 0
    assert set(found["cpu_seconds"]) == {"engine", "intake", "database", "node"}
    assert 60_000 < found["gas_per_payment"] < 100_000
    assert found["rpc_calls_per_payment"] > 0
    assert found["accept_to_sent_s"]["p50"] <= found["accept_to_sent_s"]["p99"]
    assert result["profiles"]["guide"]["completed"] == 40
    assert result["ratios"]["single_to_floor"] is None
    assert {target["holds"] for target in result["targets"]} == {None}
    assert set(result["floor"]) == {"single", "packed"}
    assert all(each["payments_per_second"] > 0 for each in result["floor"].values())
