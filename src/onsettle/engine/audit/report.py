"""What an audit found."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Report:
    """Sentences, each with the ids it speaks of; `checked` counts what was compared.

    `differences` break a promise. `not_checked` is what a node could not tell, which is never the
    same as fine. `notes` are facts that break nothing and that an operator should know.
    """

    differences: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No difference, and nothing that could not be compared."""
        return not self.differences and not self.not_checked

    def count(self, what: str, number: int) -> None:
        self.checked[what] = self.checked.get(what, 0) + number

    def add(self, other: "Report") -> None:
        self.differences += other.differences
        self.not_checked += other.not_checked
        self.notes += other.notes
        for what, number in other.checked.items():
            self.count(what, number)
