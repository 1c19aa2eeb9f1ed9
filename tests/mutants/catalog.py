"""All mutants."""

from tests.mutants.met import MET
from tests.mutants.mutant import Mutant
from tests.mutants.promises import PROMISES

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: tuple[Mutant, ...] = PROMISES + MET
