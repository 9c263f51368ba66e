"""The recipe of a model: a fingerprint of everything that makes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from components.support.file_systems import fingerprint_file
from components.trainer.config import TrainerConfig
from components.trainer.dataset import Split
from components.trainer.foundation.files import fingerprint


def make_recipe(
    splits: Iterable[Split], schema_text: str, config: TrainerConfig, code_fingerprint: str
) -> str:
    """Returns a hash of the examples' bytes, the schema, the options, the code, files of backbones.

    Two models with one recipe are the same model, up to the order of floating-point additions.

    Args:
        splits: what the model is trained on and chosen by.
        schema_text: the label schema.
        config: the training options.
        code_fingerprint: hash of the training code.
    """
    digest = hashlib.sha256()
    options = config.model_dump_json(exclude={"worker_addresses"})  # machines may be replaced
    for text in (schema_text, options, code_fingerprint):
        digest.update(hashlib.sha256(text.encode("utf-8")).digest())
    for backbone in config.backbone:
        if backbone.file:
            digest.update(fingerprint(backbone.file).encode())
    for split in splits:
        for file in split.files:
            digest.update(fingerprint_file(file).encode())
    return digest.hexdigest()
