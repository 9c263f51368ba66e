"""What a user can set about ingest."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, field_validator, model_validator

from components.contracts.label_schema import EVAL_SPLIT, SPLITS, TEST_SPLIT, TRAIN_SPLIT
from components.cover_example_gen.slice_values import normalised
from components.support.options import Options

_OWN_COLUMNS = ("image", "genres")

SpanChoice = Literal["newest", "all"] | int | tuple[int, int]


class IngestConfig(Options):
    """Ingest options.

    Attributes:
        splits: share of the near-duplicate groups that each split receives; adds up to 1.
        examples_per_shard: largest number of examples in one TFRecord file.
        shards: number of files of each split; None makes as many as `examples_per_shard` needs.
        span: for data in spans: `newest`, `all`, a number, or a first and a last number.
        slices: columns of the data besides image and genres by whose values the evaluation
            slices, such as `year` or `country`.
        workers: threads; None takes one per core. The choice never changes a byte of the result.
    """

    SECTION = "ingest"

    splits: dict[str, float] = Field(default={TRAIN_SPLIT: 0.7, EVAL_SPLIT: 0.1, TEST_SPLIT: 0.2})
    examples_per_shard: int = Field(default=1000, ge=1)
    shards: int | None = Field(default=None, ge=1, le=100_000)
    span: SpanChoice = "newest"
    slices: tuple[str, ...] = ()
    workers: int | None = Field(default=None, ge=1, le=256)

    @property
    def threads(self) -> int:
        """Threads of one worker process."""
        return self.workers or os.cpu_count() or 1

    @model_validator(mode="after")
    def _splits_add_up(self) -> IngestConfig:
        if set(self.splits) != set(SPLITS) or min(self.splits.values()) <= 0:
            raise ValueError(
                f"Expected a positive share for each of the splits {', '.join(SPLITS)}. "
                f"Received: {self.splits}"
            )
        if abs(sum(self.splits.values()) - 1.0) > 1e-6:
            raise ValueError(
                f"Expected shares that add up to 1. Received: {self.splits}, which add up to "
                f"{sum(self.splits.values()):g}"
            )
        return self

    @field_validator("slices")
    @classmethod
    def _slices_are_other_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        columns = tuple(normalised(column) for column in columns)
        names = [column.casefold() for column in columns]
        if not all(names) or len(set(names)) < len(names) or set(names) & set(_OWN_COLUMNS):
            raise ValueError(
                "Expected the names of distinct columns other than "
                f"{' and '.join(_OWN_COLUMNS)}. Received: {list(columns)}"
            )
        return columns

    @model_validator(mode="after")
    def _range_ascends(self) -> IngestConfig:
        if isinstance(self.span, tuple) and self.span[0] > self.span[1]:
            raise ValueError(f"Expected the first span before the last. Received: {self.span}")
        return self
