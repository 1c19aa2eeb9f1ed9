"""The committed artifacts are what the committed sources build."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "src/onsettle/local/artifacts"


def test_a_rebuild_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nobody has to trust a binary in the repository."""
    node = shutil.which("node") or str(ROOT / ".venv/bin/node")
    subprocess.run(
        [node, str(ROOT / "contracts/build.cjs"), str(tmp_path)], check=True, timeout=120
    )
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_bytes() for path in ARTIFACTS.iterdir()}
    assert len(built) >= 3
