"""Writes shards: TFRecord files of tf.Examples."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from components.contracts.contents import FileContent
from components.contracts.examples_account import WrittenShard
from components.contracts.label_schema import DRIFT_SPLITS, LabelSchema
from components.cover_example_gen.batches import batches_by_size
from components.cover_example_gen.examples import make_example, read_image
from components.cover_example_gen.plan import Shard
from components.support.file_systems import fingerprint_file

_BYTES_AT_ONCE = 1 << 20


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What was written to one shard; `changed` names files that changed during ingest."""

    written: WrittenShard
    rows: int
    genres: dict[str, int]
    group_sizes: dict[str, int]
    converted: dict[str, int]
    imperfect: int
    without_genre: int
    changed: tuple[str, ...]


def write_shard(
    shard: Shard,
    schema: LabelSchema,
    path: Path,
    background: str,
    advance: Callable[[int], None],
) -> ShardReport:
    """Writes one shard; the examples of a drift split have no image.

    Args:
        shard: what to write.
        schema: the genres.
        path: the file to write.
        background: colour below the transparent pixels of converted images.
        advance: called with numbers of covers written.
    """
    import tensorflow as tf

    changed: list[str] = []
    genres: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    converted: Counter[str] = Counter()
    written = rows = imperfect = without_genre = 0
    has_images = shard.split not in DRIFT_SPLITS
    with tf.io.TFRecordWriter(str(path)) as out:
        for covers in batches_by_size(shard.covers, lambda cover: cover.facts.size, _BYTES_AT_ONCE):
            # All files of a batch are read before the first example is made: other threads run
            # while files are read and hashed.
            images = [read_image(cover, background) if has_images else None for cover in covers]
            for cover, encoded in zip(covers, images, strict=True):
                if has_images and encoded is None:
                    changed.append(cover.paths[0])
                    continue
                example = make_example(cover, schema, encoded)
                out.write(example.SerializeToString(deterministic=True))
                written += 1
                rows += cover.rows
                imperfect += cover.facts.is_imperfect
                if cover.facts.conversion:
                    converted[cover.facts.conversion] += 1
                without_genre += not cover.genres
                genres.update(cover.genres)
                groups[cover.group] += 1
            advance(len(covers))
    content = FileContent(path.stat().st_size, fingerprint_file(path))
    return ShardReport(
        WrittenShard(shard.split, shard.file_name, content, written),
        rows,
        dict(genres),
        dict(groups),
        dict(converted),
        imperfect,
        without_genre,
        tuple(changed),
    )
