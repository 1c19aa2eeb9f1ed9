"""Keccak-256, by the fastest way that this machine has.

Five hashes are made for every payment (two for its digest, one for the payer's address, two for
our transaction), and pycryptodome spends three quarters of each on building Python objects. So one
hash state per thread is kept and used through the same shared library. Whatever about that library
is not as expected, the public interface is used instead: same answers, 15 instead of 5 us.
"""

import ctypes
import importlib.util
import threading
from collections.abc import Callable

from Crypto.Hash import keccak as _pycryptodome

_PADDING = 0x01  # the original Keccak; SHA3 has 0x06
_EMPTY = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def _public(data: bytes) -> bytes:
    return _pycryptodome.new(digest_bits=256, data=data).digest()


class _State(threading.local):
    """One hash state and one output buffer for each thread."""

    def __init__(self) -> None:
        # The hash object owns the state: it has to live as long as the pointer is used.
        self.owner = _pycryptodome.new(digest_bits=256)
        self.pointer: object = vars(self.owner)["_state"].get()
        self.buffer = ctypes.create_string_buffer(32)


def _direct() -> Callable[[bytes], bytes]:
    """Keccak-256 through the shared library. Raises when that library is not as expected."""
    spec = importlib.util.find_spec("Crypto.Hash._keccak")
    state = _State()
    if spec is None or spec.origin is None or not isinstance(state.pointer, ctypes.c_void_p):
        raise OSError("pycryptodome does not use ctypes here")
    # Keeps the interpreter's lock: a hash takes less time than giving it away and getting it back,
    # which beside a busy event loop costs twenty times as much.
    library = ctypes.PyDLL(spec.origin)
    reset, absorb, digest = library.keccak_reset, library.keccak_absorb, library.keccak_digest
    reset.argtypes = [ctypes.c_void_p]
    absorb.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    digest.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_ubyte]

    def hash_bytes(data: bytes) -> bytes:
        pointer, buffer = state.pointer, state.buffer
        reset(pointer)
        absorb(pointer, data, len(data))
        digest(pointer, buffer, 32, _PADDING)
        return buffer.raw

    return hash_bytes


def _choose() -> Callable[[bytes], bytes]:
    try:
        fast = _direct()
        # Lengths around one and two blocks of 136 bytes, and twice, for a state that is left dirty.
        for size in (0, 1, 135, 136, 137, 272, 300) * 2:
            if fast(b"\xa5" * size) != _public(b"\xa5" * size):
                return _public
    except (OSError, LookupError, AttributeError, ValueError, TypeError, ImportError):
        return _public
    return fast if fast(b"").hex() == _EMPTY else _public


#: Keccak-256, the hash of Ethereum (not SHA3-256): bytes in, 32 bytes out.
keccak = _choose()
