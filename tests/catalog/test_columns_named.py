"""What columns are recognised by their names alone: recall and precision over labelled names."""

from pathlib import Path

from modelyard.catalog.datasets.privacy.scanning import kind_of

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/explanation/personal-data.md"
KINDS = ("name", "birth_date", "address", "national_id", "email", "phone")


def labelled() -> list[tuple[str, str]]:
    """Names of columns, and what they hold ("-": nothing that the name tells)."""
    lines = (HERE / "columns_labelled.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.rpartition(": ") for line in lines if not line.startswith("#"))
    return [(name, kind) for name, _, kind in pairs]


def table() -> str:
    """What is measured, as the page has it."""
    lines = ["| kind | right | missed | wrong | recall | precision |", "|---|---|---|---|---|---|"]
    found = [(kind, kind_of(name) or "-") for name, kind in labelled()]
    for one in KINDS:
        right = sum(wanted == got == one for wanted, got in found)
        missed = sum(wanted == one != got for wanted, got in found)
        wrong = sum(got == one != wanted for wanted, got in found)
        recall, precision = right / (right + missed), right / max(1, right + wrong)
        lines.append(f"| {one} | {right} | {missed} | {wrong} | {recall:.2f} | {precision:.2f} |")
    return "\n".join(lines)


def test_the_documented_recall_and_precision_are_the_measured_ones() -> None:
    assert len(labelled()) >= 120
    assert table() in PAGE.read_text(encoding="utf-8"), table()
