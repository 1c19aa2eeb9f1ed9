"""One small way of breaking the service.

A mutant is text that is searched and replaced, so that it does not rot with line numbers.
"""

from dataclasses import dataclass

from tests.mutants.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`promise` is the number in docs/reliability.md; `file` is below src/onsettle; `fault`, where
    it is one that has been met in the field, is what the broken service would not live through."""

    name: str
    promise: int
    file: str
    find: str
    put: str
    test: str
    fault: Fault | None = None
