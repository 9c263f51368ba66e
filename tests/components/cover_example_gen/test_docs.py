from __future__ import annotations

from pathlib import Path

from components.contracts.quarantine import Reason

DOCS = Path(__file__).parents[3] / "docs" / "ingest.md"


def test_every_reason_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [reason.value for reason in Reason if f"| `{reason.value}` |" not in text] == []
