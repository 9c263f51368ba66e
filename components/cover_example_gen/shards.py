"""Writes shards: TFRecord files of tf.Examples."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from components.cover_example_gen.examples import make_example, read_example
from components.cover_example_gen.plan import Shard
from components.label_schema import DRIFT_SPLITS, LabelSchema

_REPORTED_EVERY = 256


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What was written to one shard; `changed` names files that changed during ingest."""

    split: str
    examples: int
    rows: int
    genres: dict[str, int]
    group_sizes: dict[str, int]
    rotated: int
    changed: tuple[str, ...]


def write_shard(
    shard: Shard,
    schema: LabelSchema,
    directories: Mapping[str, str],
    advance: Callable[[int], None],
) -> ShardReport:
    """Writes one shard; the examples of a drift split have no image.

    Args:
        shard: what to write.
        schema: the genres.
        directories: split -> existing directory.
        advance: called with numbers of covers written.
    """
    import tensorflow as tf

    changed: list[str] = []
    genres: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    written = rows = rotated = 0
    path = Path(directories[shard.split]) / shard.file_name
    with tf.io.TFRecordWriter(str(path)) as out:
        for number, cover in enumerate(shard.covers, 1):
            if number % _REPORTED_EVERY == 0:
                advance(_REPORTED_EVERY)
            try:
                if shard.split in DRIFT_SPLITS:
                    example = make_example(cover, schema, encoded=None)
                else:
                    example = read_example(cover, schema)
            except (OSError, ValueError):
                changed.append(cover.paths[0])
                continue
            out.write(example.SerializeToString(deterministic=True))
            written += 1
            rows += cover.rows
            rotated += cover.facts.orientation != 1
            genres.update(cover.genres)
            groups[cover.group] += 1
    advance(len(shard.covers) % _REPORTED_EVERY)
    return ShardReport(
        shard.split, written, rows, dict(genres), dict(groups), rotated, tuple(changed)
    )
