"""What a user can set about ingest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.label_schema import EVAL_SPLIT, SPLITS, TEST_SPLIT, TRAIN_SPLIT


class IngestConfig(BaseModel):
    """Ingest options.

    Attributes:
        splits: share of the near-duplicate groups that each split receives; adds up to 1.
        examples_per_shard: largest number of examples in one TFRecord file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: dict[str, float] = Field(default={TRAIN_SPLIT: 0.7, EVAL_SPLIT: 0.1, TEST_SPLIT: 0.2})
    examples_per_shard: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _splits_add_up(self) -> IngestConfig:
        if set(self.splits) != set(SPLITS) or min(self.splits.values()) <= 0:
            raise ValueError(f"Expected a positive share for each of the splits {list(SPLITS)}")
        if abs(sum(self.splits.values()) - 1.0) > 1e-6:
            raise ValueError(f"Expected shares that add up to 1, not {sum(self.splits.values())}")
        return self
