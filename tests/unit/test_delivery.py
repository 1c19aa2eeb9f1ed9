"""When a message is tried again."""

from onsettle.domain.delivery import WEBHOOK_SCHEDULE, Failed, next_wait


def test_the_schedule_is_that_of_the_specification() -> None:
    """About three days, a little later by chance, never earlier; then it is given up."""
    waits = [next_wait(WEBHOOK_SCHEDULE, tries, Failed(error=""), 0.0) for tries in range(1, 10)]
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert next_wait(WEBHOOK_SCHEDULE, 10, Failed(error=""), 0.0) is None
    assert next_wait(WEBHOOK_SCHEDULE, 1, Failed(error="", gone=True), 0.0) is None
    assert next_wait(WEBHOOK_SCHEDULE, 1, Failed(error="", retry_after=60), 1.0) == 60
    assert next_wait(WEBHOOK_SCHEDULE, 1, Failed(error="", retry_after=1), 1.0) == 6
