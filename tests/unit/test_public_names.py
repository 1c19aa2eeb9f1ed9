"""What a Python program may import from onsettle."""

import subprocess
import sys

import onsettle


def test_the_public_names_are_these() -> None:
    """A name that is here is a promise; adding one is a decision."""
    assert dir(onsettle) == ["Onsettle", "Payment", "PaymentFailed", "PaymentStatus", "Refused"]
    for name in dir(onsettle):
        assert getattr(onsettle, name).__name__ == name


def test_importing_onsettle_loads_nothing_heavy() -> None:
    """A program pays for what it uses: the import alone loads no driver and no web framework."""
    code = (
        "import sys, onsettle\n"
        "heavy = {'asyncpg', 'aiohttp', 'fastapi', 'pydantic', 'coincurve'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from onsettle import PaymentStatus\n"
        "assert PaymentStatus.SENT == 'sent' and 'asyncpg' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
