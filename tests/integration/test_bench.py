"""The benchmark measures what it says, on a small load."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import psutil
import pytest

from onsettle.local.bench.chart import draw
from onsettle.local.bench.ground import Ground
from onsettle.local.bench.latency import RATES
from onsettle.local.place import let_pass

# On a machine that is busy the two runs take longer than one test may.
pytestmark = pytest.mark.timeout(300)

_ENGINE = "default,packed,two_workers,guide,floor,intake,growth,statements"
_SERVICE = "idle,load"


class Bench:
    """One small run of `onsettle bench`, started at once and waited for when it is looked at."""

    def __init__(self, folder: Path, parts: str, payments: int, **variables: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ONSETTLE_")}
        environment = kept | variables
        environment.pop("DATABASE_URL", None)
        folder.mkdir()
        self.saved = folder / "saved"
        self._process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("onsettle")),
                *("bench", "--json", "--quick", "--profiles", parts),
                *("--payments", str(payments), "--save", str(self.saved)),
            ],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> dict[str, Any]:
        printed, errors = self._process.communicate(timeout=280)
        assert self._process.returncode == 0, errors[-3000:]
        found: dict[str, Any] = json.loads(printed)
        return found

    def wait_for(self, word: str) -> None:
        """Until its progress says this word, or it has ended."""
        assert self._process.stderr is not None
        assert any(word in line for line in self._process.stderr)

    def end(self) -> int:
        """Its exit code, after SIGTERM if it still ran."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=60)
        return self._process.returncode


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Bench]]:
    """Both at once: most of their time they wait for blocks."""
    folder = tmp_path_factory.mktemp("bench")
    both = {
        "engine": Bench(folder / "engine", _ENGINE, 40),
        "service": Bench(folder / "service", _SERVICE, 3),
    }
    yield both
    for run in both.values():
        run.end()


@pytest.fixture(scope="module")
def engine(runs: Mapping[str, Bench]) -> dict[str, Any]:
    """What the parts found that submit to an engine."""
    return runs["engine"].result()


@pytest.fixture(scope="module")
def service(runs: Mapping[str, Bench]) -> dict[str, Any]:
    """What the parts found that pay over HTTP, one payment after the other and at a rate."""
    return runs["service"].result()


def test_a_small_run_tells_every_figure_of_a_profile_and_the_floor(engine: dict[str, Any]) -> None:
    """One JSON object: every payment completed and minted, with its rates, costs and floor."""
    found = engine["profiles"]["default"]
    assert found["completed"] == found["mints"] == 40
    assert found["payments_per_second"] >= found["with_mints_per_second"] > 0
    assert set(found["cpu_seconds"]) == {"engine", "intake", "database", "node"}
    assert 60_000 < found["gas_per_payment"] < 100_000
    assert found["rpc_calls_per_payment"] > 0
    assert found["accept_to_sent_s"]["p50"] <= found["accept_to_sent_s"]["p99"]
    assert engine["profiles"]["guide"]["completed"] == 40
    assert engine["ratios"]["single_to_floor"] is None
    assert set(engine["floor"]) == {"single", "packed"}
    assert all(len(each["runs"]) == 1 for each in engine["floor"].values())
    assert all(each["payments_per_second"] > 0 for each in engine["floor"].values())


def test_packs_are_measured_with_one_worker_and_with_two(engine: dict[str, Any]) -> None:
    """Packed payments take less gas, the books are compared, and two workers settle them too."""
    packed, two = (engine["profiles"][name] for name in ("packed", "two_workers"))
    assert packed["gas_per_payment"] < engine["profiles"]["default"]["gas_per_payment"]
    assert packed["verify_ok"] is True
    assert (packed["workers"], two["workers"]) == (1, 2)
    assert two["completed"] == two["mints"] == 40


def test_every_part_tells_the_conditions_in_force(
    engine: dict[str, Any], service: dict[str, Any]
) -> None:
    """Settings are read from the database, blocks from the node, and not from the plan."""
    engines = (
        engine["profiles"]["default"],
        engine["profiles"]["packed"],
        engine["intake"],
        engine["statements"],
        engine["growth"]["finished_1000000"],
        engine["growth"]["queued_100000"],
        service["idle"],
        service["load"],
    )
    for found in engines:
        assert {
            "payment_batch_size",
            "payment_batch_interval_ms",
            "payment_pack_size",
            "payment_mode",
            "payment_confirmations",
            "wallet_max_in_flight",
        } <= set(found["settings"])
    for found in (*engines, engine["profiles"]["guide"], engine["floor"]["packed"]):
        assert found["block_gas_limit"] == 4_000_000_000
        assert found["block_time_s"] in (1, 2)
        assert found["payers"] > 0
    assert engine["profiles"]["default"]["settings"]["payment_pack_size"] == 1
    assert engine["profiles"]["packed"]["settings"]["payment_pack_size"] == 100


def test_the_database_says_itself_whether_it_is_durable(engine: dict[str, Any]) -> None:
    """The settings are the server's own, and its folder's file system is known."""
    found = engine["environment"]["database"]
    assert found["settings"] == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }
    assert found["filesystem"] != "unknown"
    assert found["durable"] is (found["filesystem"] != "tmpfs")


def test_growth_is_measured_behind_finished_payments_and_with_queued_ones(
    engine: dict[str, Any],
) -> None:
    """In the proportions of the full size; what was finished before is not counted."""
    found = engine["growth"]
    assert [found[f"finished_{rows}"]["finished"] for rows in (0, 100_000, 1_000_000)] == [
        0,
        400,
        4000,
    ]
    assert found["finished_1000000"]["completed"] == 40
    assert found["queued_100000"]["completed"] == 400
    assert found["million_to_empty"] > 0
    assert found["queued_100000"]["peak_memory_mb"] > 10


def test_the_log_of_statements_holds_what_settling_takes(engine: dict[str, Any]) -> None:
    """Every query of a payment's way is there by its name, with its share of a payment."""
    spent = {each["query"]: each for each in engine["statements"]["statements"]}
    assert spent["payments_insert"]["us_per_payment"] > 0
    assert spent["payments_signed"]["calls"] >= 1
    assert "migrations" not in " ".join(spent)


def test_intake_is_measured_alone_and_in_batches(engine: dict[str, Any]) -> None:
    """Both ways have a rate and their processor time."""
    found = engine["intake"]
    assert found["payments_per_second"] > 0 < found["batch_payments_per_second"]
    assert found["cpu_ms_per_payment"] > 0 < found["batch_cpu_ms_per_payment"]
    assert found["wallets"] == 0


def test_an_idle_engine_is_measured_payment_by_payment(service: dict[str, Any]) -> None:
    """Sent before it is completed; each has its percentiles."""
    found = service["idle"]
    assert found["payments"] == 3
    assert 0 < found["accept_to_broadcast_s"]["p50"] < found["accept_to_completed_s"]["p50"]
    assert found["visible_to_completed_s"]["p99"] >= 0


def test_latency_is_measured_at_every_rate(service: dict[str, Any]) -> None:
    """From ten to five hundred payments a second, each with what the payer felt."""
    rates = service["load"]["rates"]
    assert list(rates) == [str(rate) for rate in RATES]
    for found in rates.values():
        assert found["acknowledged_s"]["p50"] > 0
        assert found["accept_to_completed_s"]["p99"] > found["accept_to_sent_s"]["p50"]


def test_a_saved_run_is_the_printed_one_with_its_chart(
    runs: Mapping[str, Bench], engine: dict[str, Any]
) -> None:
    """`--save` writes the same object and the picture of it; a small run is called quick."""
    saved = runs["engine"].saved
    assert json.loads((saved / "latest.json").read_text("utf-8")) == engine
    assert (saved / "chart.svg").read_text("utf-8") == draw(engine)
    assert engine["environment"]["quick"] is True


def test_a_run_that_is_told_to_end_leaves_nothing_behind(data_folder: Path) -> None:
    """SIGTERM while a node starts: it, the database and their files go with the run."""
    temporary = data_folder / "tmp"
    temporary.mkdir()
    let_pass(temporary)
    bench = Bench(data_folder / "run", "idle", 1000, TMPDIR=str(temporary))
    bench.wait_for("idle engine")
    assert bench.end() == 1
    assert [it.name for it in temporary.iterdir()] == []
    left = [it.info["cmdline"] for it in psutil.process_iter(["cmdline"])]
    assert [it for it in left if any(str(temporary) in part for part in it or ())] == []


async def test_ground_that_can_not_be_prepared_is_left_without_a_server(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong between the server's start and the first part, it does not stay."""
    ground = Ground(data_folder)
    monkeypatch.setattr(ground, "_execute", AsyncMock(side_effect=OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        await ground.__aenter__()
    assert ground.postgres.pid is None
