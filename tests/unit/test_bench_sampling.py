"""Where Python's processor time goes, as the benchmark tells it."""

import threading
import time
from collections import Counter

from onsettle.chain.crypto import checksum_address
from onsettle.local.bench.sampling import Sampler, shares


def _use(seconds: float) -> None:
    """So much processor time of this thread, in one function of ours."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        checksum_address("0x" + "ab" * 20)


class TestSampler:
    def test_the_function_that_used_the_time_is_seen(self) -> None:
        sampler = Sampler()
        sampler.start()
        try:
            _use(0.3)
        finally:
            sampler.stop()
        names = {name for name, _ in sampler.seen.most_common(2)}
        assert any("checksum_address" in name for name in names), sampler.seen

    def test_a_thread_beside_a_main_thread_that_waits_is_seen(self) -> None:
        sampler = Sampler()
        sampler.start()
        try:
            thread = threading.Thread(target=_use, args=(0.3,))
            thread.start()
            while thread.is_alive():
                thread.join(0.01)
        finally:
            sampler.stop()
        assert any("checksum_address" in name for name in sampler.seen), sampler.seen

    def test_nothing_is_seen_after_the_end(self) -> None:
        sampler = Sampler()
        sampler.start()
        sampler.stop()
        seen = sampler.seen.total()
        _use(0.05)
        assert sampler.seen.total() == seen


def test_looks_become_microseconds_of_what_was_measured() -> None:
    assert shares(Counter({"a": 3, "b": 1}), 2.0, 1000) == [
        {"function": "a", "us_per_payment": 1500.0},
        {"function": "b", "us_per_payment": 500.0},
    ]
