"""What is wrong with a configuration, in sentences that name the variable and never its value."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError


class ConfigError(Exception):
    """The configuration can't be used; `problems` has one sentence for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def sentences(error: ValidationError, place: str = "") -> Iterator[str]:
    """One sentence per problem; `place` tells which network's table is meant."""
    for details in error.errors(include_url=False, include_input=False):
        yield f"{_subject(details, place)} {_predicate(details)}."


def _subject(details: Mapping[str, Any], place: str) -> str:
    name, *position = details["loc"]
    subject = f"{str(name).upper()}{place}"
    if position and isinstance(position[0], int):
        subject += f", item {position[0] + 1},"
    return subject


def _predicate(details: Mapping[str, Any]) -> str:
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if details["type"] == "extra_forbidden":
        return "is not a name that belongs here"
    return str(details["msg"]).replace("Input should be", "must be")
