"""Files with secrets in them must be readable by their owner only."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from onsettle.config import Config
from onsettle.config.loading import CONFIG_FILE
from onsettle.engine.doctor.findings import Findings


def check_files(found: Findings, config: Config) -> None:
    loose = False
    for path in _secrets(config):
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            loose = True
            found.fail(
                "files", f"others can read it (mode {mode:o})", f"chmod go= {path}", str(path)
            )
    if not loose:
        found.ok("files", "no file with secrets can be read by others")


def _secrets(config: Config) -> Iterator[Path]:
    named = os.environ.get("ONSETTLE_CONFIG", "").strip()
    yield Path(named).expanduser() if named else Path.cwd() / CONFIG_FILE
    for name in ("local.env", "chain-keys.json"):
        yield config.data_dir / name
    for network in config.networks:
        for key in (*network.payment_keys, *network.mint_keys):
            text = key.get_secret_value()
            if not text.removeprefix("0x").isalnum() or len(text) < 64:
                yield Path(text).expanduser()
