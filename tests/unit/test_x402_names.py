"""The names of x402 are those of its SDK."""

import importlib.util
from pathlib import Path

from onsettle.api import x402


def test_the_chains_of_version_one_are_those_of_the_sdk() -> None:
    """Every name that the installed SDK knows means the same chain here, and no other does."""
    package = importlib.util.find_spec("x402")
    assert package is not None
    assert package.origin is not None
    # By its file: the package around it wants signers that are not installed.
    path = Path(package.origin).parent / "mechanisms/evm/v1/constants.py"
    spec = importlib.util.spec_from_file_location("x402_names", path)
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    assert table.V1_NETWORK_CHAIN_IDS == x402.NAMES
    assert set(table.V1_NETWORKS) <= set(x402.NAMES)
    for name, chain_id in x402.NAMES.items():
        assert x402._chain_id(name, None) == chain_id
