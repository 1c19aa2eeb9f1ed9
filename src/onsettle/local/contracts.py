"""The built artifacts of our test contracts."""

import json
from functools import cache
from importlib.resources import files


@cache
def bytecode(name: str, *, deployed: bool = False) -> str:
    """The creation (or deployed) code of a contract, as 0x hex."""
    path = files("onsettle.local").joinpath(f"artifacts/{name}.json")
    artifact = json.loads(path.read_text("utf-8"))
    code: str = artifact["deployedBytecode" if deployed else "bytecode"]
    return code
