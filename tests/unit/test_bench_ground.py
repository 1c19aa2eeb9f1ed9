"""What the benchmark says of the ground that it measures on."""

from pathlib import Path

from onsettle.local.bench import conditions
from onsettle.local.bench.durability import lost, told
from onsettle.local.bench.statements import StatementLog

_ON = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class TestDurability:
    def test_memory_is_never_called_durable(self) -> None:
        """Settings keep nothing on a file system that is gone with the power."""
        assert lost(_ON, "ext4") == []
        [why] = lost(_ON, "tmpfs")
        assert "memory" in why

    def test_every_setting_counts(self) -> None:
        """One that is off is enough."""
        for name in _ON:
            assert lost({**_ON, name: "off"}, "ext4") == [f"{name} is off"]

    def test_a_result_that_is_not_durable_says_so_in_its_first_lines(self) -> None:
        """Nobody takes its figures for those of a durable database."""
        found = {"version": "18", "settings": _ON, "filesystem": "tmpfs"}
        kept = told({**found, "durable": True, "not_durable_because": []})
        gone = told({**found, "durable": False, "not_durable_because": lost(_ON, "tmpfs")})
        assert "NOT DURABLE" in gone
        assert "NOT" not in kept
        assert "fsync on, synchronous_commit on, full_page_writes on" in kept


def test_conditions_are_told_with_every_setting_in_force() -> None:
    """Load, wallets, blocks and settings stand in one line."""
    found = {
        "payments": 20_000,
        "settings": {"payment_pack_size": 100, "payment_mode": "async"},
        "wallets": 2,
        "workers": 1,
        "payers": 500,
        "block_time_s": 2,
        "block_gas_limit": 4_000_000_000,
    }
    assert conditions.told(found) == (
        "20,000 payments, 2 wallets, 1 worker, 500 payers, a block every 2 s,"
        " block gas limit 4,000,000,000, payment_pack_size=100, payment_mode=async"
    )


def test_statements_of_other_runs_are_not_counted(tmp_path: Path) -> None:
    """One server log serves all runs: what stands before and behind this one is not its own."""
    log = StatementLog("", tmp_path)
    prefix = "2026-11-24 04:40:00 UTC [1] LOG:  duration:"
    (tmp_path / "postgresql-Tue.log").write_text(
        f"{prefix} 900.000 ms  execute s1: select 'before'\n"
        f"{prefix} 0.100 ms  statement: select 'begin {log.name}'\n"
        f"{prefix} 1.000 ms  parse s2: select one\n\tfrom two\n"
        f"{prefix} 2.000 ms  execute s2: select one\n\tfrom two\n"
        "2026-11-24 04:40:00 UTC [1] LOG:  checkpoint starting: time\n"
        f"{prefix} 5.000 ms  statement: COMMIT;\n"
        f"{prefix} 0.100 ms  statement: select 'end {log.name}'\n"
        f"{prefix} 900.000 ms  statement: select 'behind'\n"
    )
    assert log.spent(payments=10) == [
        {"query": "COMMIT;", "ms": 5.0, "calls": 1, "us_per_payment": 500.0},
        {"query": "select one from two", "ms": 3.0, "calls": 1, "us_per_payment": 300.0},
    ]
