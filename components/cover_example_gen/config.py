"""What a user can set about ingest."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from components.contracts.backgrounds import BACKGROUND_PATTERN, DEFAULT_BACKGROUND
from components.contracts.label_schema import EVAL_SPLIT, SPLITS, TEST_SPLIT, TRAIN_SPLIT
from components.cover_example_gen.relabel_file import RelabelConfig, embedded
from components.cover_example_gen.slice_values import normalised
from components.support.options import Options

_OWN_COLUMNS = ("image", "genres")

SpanChoice = Literal["newest", "all"] | int | tuple[int, int]

ContradictingLabels = Literal["merge", "keep", "quarantine"]


class ColumnsConfig(Options):
    """Which columns of a manifest hold what; their case does not matter.

    Attributes:
        image: path, file name or id of the image, or the image itself; null recognises `image`
            and `file_name`.
        genres: a column of genre names, or a list of columns that hold 0 or 1, each named like its
            genre; null recognises `genres`.
        split: the split that a row is in; null recognises `split`, false ignores it.
    """

    SECTION = "ingest.columns"

    image: str | None = Field(default=None, min_length=1)
    genres: str | tuple[str, ...] | None = Field(default=None, min_length=1)
    split: str | Literal[False] | None = None


class NearDuplicatesConfig(Options):
    """What becomes of covers that look alike.

    Attributes:
        labels: what becomes of copies of the same picture that name different genres: `merge`
            gives each the genres of all, `keep` leaves them as they are, `quarantine` sets all of
            them aside.
        placeholders: whether a picture that stands for many covers, such as "no image
            available", is set aside (`quarantine`) or only reported (`keep`).
    """

    SECTION = "ingest.near_duplicates"

    labels: ContradictingLabels = "merge"
    placeholders: Literal["quarantine", "keep"] = "quarantine"


class IngestConfig(Options):
    """Ingest options.

    Attributes:
        columns: which columns of a manifest hold what.
        near_duplicates: what becomes of covers that look alike.
        relabel: what a person decided about labels; a file such as the report's
            `label_errors.csv`, relative to the YAML file. Its decisions are read into its place.
        allow_no_genre: whether a row that names no genre is a cover without any of the genres, a
            negative for each; otherwise it is quarantined.
        splits: share of the near-duplicate groups that each split receives; adds up to 1.
        examples_per_shard: largest number of examples in one TFRecord file.
        shards: number of files of each split; None makes as many as `examples_per_shard` needs.
        span: for data in spans: `newest`, `all`, a number, or a first and a last number.
        background: colour below the transparent pixels of an image, as `#rrggbb`.
        slices: columns of the data besides image and genres by whose values the evaluation
            slices, such as `year` or `country`.
        workers: threads; None takes one per core. The choice never changes a byte of the result.
    """

    SECTION = "ingest"

    columns: ColumnsConfig = Field(default_factory=ColumnsConfig)
    near_duplicates: NearDuplicatesConfig = Field(default_factory=NearDuplicatesConfig)
    relabel: Annotated[RelabelConfig | None, BeforeValidator(embedded)] = None
    allow_no_genre: bool = False
    splits: dict[str, float] = Field(default={TRAIN_SPLIT: 0.7, EVAL_SPLIT: 0.1, TEST_SPLIT: 0.2})
    examples_per_shard: int = Field(default=1000, ge=1)
    shards: int | None = Field(default=None, ge=1, le=100_000)
    span: SpanChoice = "newest"
    background: str = Field(default=DEFAULT_BACKGROUND, pattern=BACKGROUND_PATTERN)
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
