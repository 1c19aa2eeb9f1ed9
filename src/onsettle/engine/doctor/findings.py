"""What a check found, in words, with the remedy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    #: It works; somebody should look.
    WARN = "warn"
    #: It does not work, or money is at risk.
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    check: str
    #: What it is about: a wallet, a token, an endpoint; empty: the whole.
    subject: str
    state: State
    found: str
    #: What to do; empty where nothing is to be done.
    remedy: str = ""


@dataclass(slots=True)
class Findings:
    """Collects findings; the worst of them decides."""

    all: list[Finding] = field(default_factory=list)

    def ok(self, check: str, found: str, subject: str = "") -> None:
        self.all.append(Finding(check=check, subject=subject, state=State.OK, found=found))

    def warn(self, check: str, found: str, remedy: str, subject: str = "") -> None:
        self.all.append(
            Finding(check=check, subject=subject, state=State.WARN, found=found, remedy=remedy)
        )

    def fail(self, check: str, found: str, remedy: str, subject: str = "") -> None:
        self.all.append(
            Finding(check=check, subject=subject, state=State.FAIL, found=found, remedy=remedy)
        )

    @property
    def worst(self) -> State:
        return worst([finding.state for finding in self.all])


def worst(states: Sequence[State]) -> State:
    for state in (State.FAIL, State.WARN):
        if state in states:
            return state
    return State.OK
