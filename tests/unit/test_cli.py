"""The command line: quick, plain about errors, and 0 only when it did what was asked."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onsettle.cli import COMMANDS, main
from onsettle.cli.demo import is_whole
from onsettle.cli.problems import explain
from onsettle.cli.status import network_words
from onsettle.log import set_up

# A port that nothing listens on.
_NOWHERE = "postgresql://someone:hush@127.0.0.1:9/none"


def run(*args: str, **env: str) -> Result:
    return CliRunner().invoke(main, list(args), env={"DATABASE_URL": _NOWHERE, **env})


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONSETTLE_RPC_URLS", raising=False)
    monkeypatch.delenv("ONSETTLE_CONFIG", raising=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from onsettle.cli import main; main(['--help'], standalone_mode=False);"
        "assert 'asyncpg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("args", [["status"], ["wallets"], ["settings", "payment_mode"]])
def test_a_database_that_is_down_is_said_in_one_sentence(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "database can't be reached" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hush" not in result.stderr


def test_a_reader_that_has_gone_is_not_called_a_fault_of_the_database() -> None:
    """`onsettle logs | head` ends without a word, and not with 0: not all of it was told."""
    reads, writes = os.pipe()
    os.close(reads)
    code = "from onsettle.cli import main; main(['logs', '--help'])"
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code], stdout=writes, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writes)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_the_name_of_a_file_is_never_repeated() -> None:
    """What the system says about a file it can't open holds what was typed for its name."""
    said = explain(OSError(36, "File name too long", "0x" + "5e" * 32))
    assert "5e5e" not in said
    assert "File name too long" in said


@pytest.mark.parametrize(
    ("dsn", "shown", "password"),
    [
        ("postgresql://me:p%40ss%3Aw@h:5433/db", "postgresql://me@h:5433/db", "p@ss:w"),
        ("postgres://me:hush@a:1,b:2/db?target_session_attrs=primary",
         "postgres://me@a:1,b:2/db?target_session_attrs=primary", "hush"),
        ("postgresql:///db?host=/run/pg&user=me&password=hu%20sh",
         "postgresql:///db?host=/run/pg&user=me", "hu sh"),
        ("postgresql://me@h/db", "postgresql://me@h/db", None),
    ],
)  # fmt: skip
def test_psql_gets_the_password_by_its_environment(
    dsn: str, shown: str, password: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its arguments, which every user of the machine can read; and what is set for another
    program does not lead it elsewhere."""
    psql = tmp_path / "psql"
    psql.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > said\nenv >> said\nexit 7\n')
    psql.chmod(0o755)
    monkeypatch.setattr("onsettle.local.binaries.find_postgres_bin", lambda: tmp_path)
    result = run(
        "psql", "-c", "select 1", DATABASE_URL=dsn, PGHOST="elsewhere", PGOPTIONS="-c x=1",
        PGPASSFILE="/a/file",
    )  # fmt: skip
    assert result.exit_code == 7
    said = (tmp_path / "said").read_text().splitlines()
    assert said[:3] == [shown, "-c", "select 1"]
    told = {line for line in said if line.startswith("PG")}
    secret = set() if password is None else {f"PGPASSWORD={password}"}
    assert told == {"PGAPPNAME=onsettle psql", "PGPASSFILE=/a/file"} | secret


@pytest.mark.parametrize("name", ["serve", "worker", "verify"])
def test_keys_separated_by_spaces_are_never_shown(name: str) -> None:
    """The start ends in words that name the variable."""
    keys = " ".join(["0x" + digits * 32 for digits in ("5e", "6f", "7a", "8b")])
    result = run(name, ONSETTLE_RPC_URLS="http://127.0.0.1:9", ONSETTLE_PAYMENT_KEYS=keys)
    assert result.exit_code == 1
    assert "ONSETTLE_PAYMENT_KEYS, item 1," in result.stderr
    assert "separate keys by commas" in result.stderr
    assert "5e5e" not in result.output


@pytest.mark.parametrize("name", ["serve", "worker", "verify"])
def test_nothing_settles_without_a_network(name: str) -> None:
    result = run(name)
    assert result.exit_code == 1
    assert "No network is configured" in result.stderr


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("payment_mode", "later", "async or sync"),
        ("payment_batch_size", "0", "1 to 5000"),
        ("payment_colour", "red", "not a setting"),
    ],
)
def test_a_setting_is_checked_before_the_database_is_asked(
    key: str, value: str, words: str
) -> None:
    result = run("settings", key, value, "--yes")
    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize("mark", ["#", "/", "?"])
def test_a_password_that_breaks_the_url_is_not_printed(mark: str) -> None:
    """The command says how to write it, and shows no part of it."""
    result = run("status", DATABASE_URL=f"postgresql://u:s3cret{mark}x@h/db")
    assert result.exit_code == 1
    assert "DATABASE_URL can't be read: percent-encode" in result.stderr
    assert "s3cret" not in result.output


def test_an_unexpected_error_is_told_by_its_place_and_not_by_what_it_quotes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its text repeats the value that could not be read, and that may be a secret."""
    monkeypatch.setattr("onsettle.cli.session.load", lambda: int("s3cret"))
    result = run("status")
    assert result.exit_code == 1
    assert "ValueError in test_cli.py, line" in result.stderr
    assert "s3cret" not in result.output


def test_a_configuration_error_names_the_variable() -> None:
    result = run("status", ONSETTLE_PORT="many")
    assert result.exit_code == 1
    assert "ONSETTLE_PORT" in result.stderr


def test_a_log_line_is_json_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up("json")
        structlog.get_logger("onsettle.test").info("sent", payments=3)
        line = json.loads(capsys.readouterr().err)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert (line["event"], line["payments"], line["level"]) == ("sent", 3, "info")


def test_status_tells_a_network_that_nobody_reads() -> None:
    """An old look is not told as if all were well."""
    row = {"network": "eip155:1", "name": "main", "block_number": 7, "looked_ago_s": 1.5}
    assert network_words(row) == "block 7, read 1.5 s ago"
    assert "no RPC endpoint answers" in network_words(row | {"looked_ago_s": 65.0})
    assert network_words(row | {"looked_ago_s": None}) == "not read yet"


def _demo(**changed: object) -> dict[str, object]:
    sync = {"completed": 7, "mints_completed": 7}
    return {
        "payments": 7, "completed": 7, "mints_completed": 7, "refused": 1, "failed": 1,
        "duplicates": 1, "sync": sync, "verify_ok": True, **changed,
    }  # fmt: skip


def test_the_demo_succeeds_only_as_a_whole() -> None:
    """Whichever of its numbers is not what it must be, the exit code is not 0."""
    assert is_whole(_demo())
    for name in ("completed", "mints_completed", "refused", "failed", "duplicates"):
        assert not is_whole(_demo(**{name: 0})), name
        assert not is_whole(_demo(**{name: 2})), name
    assert not is_whole(_demo(verify_ok=False))
    assert not is_whole(_demo(sync={"completed": 6, "mints_completed": 7}))
    assert not is_whole(_demo(sync={"completed": 7, "mints_completed": 6}))
