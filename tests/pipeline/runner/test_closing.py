from __future__ import annotations

from components.contracts.quarantine import IngestSummary, Placeholder
from pipeline.runner.closing import describe_ingest


def test_what_was_found_about_labels_is_said_in_the_line_of_ingest() -> None:
    summary = IngestSummary(
        source="labels.csv",
        rows_given=100,
        rows_ingested=50,
        rows_quarantined=50,
        quarantined_by_reason={"placeholder": 50},
        examples=50,
        examples_by_split={"train": 35, "eval": 5, "test": 10},
        near_duplicate_groups=2,
        near_duplicates=4,
        genres_by_split={},
        contradicting_pairs={"merged": 2, "kept": 1},
        placeholders=(Placeholder("0" * 64, "none.jpg", 50, 40, 0.5, 5, flat=True),),
        without_genre=7,
    )
    line = describe_ingest(summary)
    assert "3 pairs of them with different genres (2 merged, 1 kept)" in line
    assert "none.jpg and its copies are 50 rows (50.0%), probably a placeholder" in line
    assert "7 covers without a genre" in line
