"""The covers of a request log that one model version answered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from components.contracts.quarantine import RowRejected
from components.contracts.request_log.files import read_log
from components.contracts.request_log.framing import CutOff, DamagedRecord
from components.contracts.request_log.records import AnsweredCover
from components.support.errors import ConfigError
from pipeline.commands.drift.covers import Columns, Covers, facts_of

DAMAGED, CUT_OFF = "damaged records", "records that were cut off"
AGAIN, OTHER_VERSIONS = "the same cover again", "answered by another version"


def read_answered(folder: Path, version: str, genres: int) -> Covers:
    """Reads the distinct covers that a version answered.

    Args:
        folder: the request log.
        version: of the model.
        genres: how many it knows.

    Raises:
        ConfigError: there is no log in the folder, or an empty one, or that of other genres.
    """
    columns = Columns(genres)
    seen: set[str] = set()
    others: Counter[str] = Counter()
    for record in read_log(folder):
        if isinstance(record, DamagedRecord | CutOff):
            columns.left_out[DAMAGED if isinstance(record, DamagedRecord) else CUT_OFF] += 1
        elif record.version != version:
            others[record.version] += 1
        elif record.image_id in seen:
            columns.left_out[AGAIN] += 1
        else:
            _check_genres(record, folder, genres)
            seen.add(record.image_id)
            try:
                facts = facts_of(record.encoded, record.facts)
            except RowRejected as rejected:
                columns.left_out[rejected.reason.value] += 1
                continue
            columns.add(facts, record.probabilities, record.decisions)
    if others:
        columns.left_out[OTHER_VERSIONS] = others.total()
    covers = columns.covers()
    if not len(covers) and not columns.left_out:
        raise ConfigError(
            f"Expected answered covers in the request log {folder}. Received: an empty log. Wait "
            "until covers were answered, or raise the share that is kept."
        )
    return covers


def _check_genres(record: AnsweredCover, folder: Path, genres: int) -> None:
    if len(record.probabilities) != genres:
        raise ConfigError(
            f"Expected answers for the {genres} genres of the model in {folder}. Received: "
            f"{len(record.probabilities)} probabilities, from a model of other genres. Name the "
            "model that answered with --model."
        )
