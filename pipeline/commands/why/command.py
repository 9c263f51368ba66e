"""`covers why`: what a model says of covers, and what that rests on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from components.contracts.quarantine import RowRejected
from components.contracts.saved_models import LoadedModel, load_signatures
from components.contracts.signatures import (
    DECISIONS,
    EMBEDDINGS,
    EMBEDDINGS_SIGNATURE,
    IMAGE_BYTES,
    PIXELS,
    PIXELS_SIGNATURE,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from components.support.errors import ConfigError, DataError, DeploymentError
from components.support.file_systems import is_url, local_copy
from pipeline.commands.batch_prediction.covers import CoverFile, list_covers, no_covers
from pipeline.commands.pages import write_page
from pipeline.commands.predict import Unreadable, accept_with_facts
from pipeline.commands.why.explanation import Explanation, Judged, describe
from pipeline.commands.why.heat_map import heat_maps
from pipeline.commands.why.neighbours import Nearest, TrainingCovers, open_training_covers
from pipeline.terminal import say

MOST_COVERS = 100
_BATCH_SIZE = 32


def explain_covers(
    given: Sequence[str],
    location: str,
    *,
    pipeline_root: Path,
    run: str | None,
    artifacts: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Prints why a model answers as it does for each cover, and writes a page.

    Args:
        given: see `list_covers`.
        location: path or URL of the model.
        pipeline_root: where runs landed, among them perhaps that which made the model.
        run: see `open_training_covers`.
        artifacts: see `open_training_covers`.
        output: the page; None writes none.
        as_json: prints JSON Lines.

    Raises:
        ConfigError: there is no cover, there are too many, or the page cannot be written.
        DataError: in the end, if a cover could not be read.
        DeploymentError: there is no such model, or it is damaged.
    """
    if output and is_url(str(output)):
        raise ConfigError(
            f"Expected --output to be a file on this machine. Received: {output}. Copy the page "
            "there when it is written."
        )
    covers = list(_first(given))
    if not as_json:
        say(f"model: {location}")
    explained: list[Explanation] = []
    with (
        local_copy(location) as folder,
        open_training_covers(pipeline_root, folder, run, artifacts) as training,
    ):
        model = ExplainedModel(folder, training)
        for cover in covers:
            answer = _explained(model, cover)
            if isinstance(answer, Explanation):
                explained.append(answer)
            _print(answer, as_json=as_json)
        if explained and isinstance(explained[0].nearest, str) and not as_json:
            say(explained[0].nearest)
        if output and explained:
            _write(output, location, explained, training)
            say(f"page: {output}", to_stderr=as_json)
    if len(explained) < len(covers):
        raise DataError(
            f"Expected images that can be read. Received: {len(covers) - len(explained):,} of "
            f"{len(covers):,} that cannot, each with its reason above."
        )


class ExplainedModel:
    """A model that can be asked about covers and about parts of them.

    Args:
        folder: of a SavedModel of this project.
        training: the covers that it was trained on, or why they are not at hand.

    Raises:
        DeploymentError: it is not, or it is damaged, or too old to be asked about parts.
    """

    def __init__(self, folder: Path, training: TrainingCovers | str) -> None:
        self._signatures = load_signatures(folder)
        self._training = training
        self.description = self._signature(SERVING_SIGNATURE, folder).description
        self._signature(PIXELS_SIGNATURE, folder)

    def explain(self, name: str, encoded: bytes, image_id: str) -> Explanation:
        """Returns what the model says of a cover, and what that rests on.

        Args:
            name: what the explanation calls it.
            encoded: the image as the model is to see it.
            image_id: identity of the file.
        """
        from components.trainer.preprocessing import decode_and_resize

        found = self._signatures[SERVING_SIGNATURE].ask(**{IMAGE_BYTES: [encoded]})
        pixels = decode_and_resize(encoded, self.description.image_size).numpy()
        judged = zip(
            self.description.genres,
            found[PROBABILITIES][0].tolist(),
            self.description.thresholds,
            (found[DECISIONS][0] > 0).tolist(),
            strict=True,
        )
        return Explanation(
            cover=name,
            encoded=encoded,
            judged=tuple(Judged(*each) for each in judged),
            maps=heat_maps(pixels, self._probabilities),
            nearest=self._nearest(encoded, image_id),
        )

    def _nearest(self, encoded: bytes, image_id: str) -> Nearest | str:
        if isinstance(self._training, str):
            return self._training
        asked = self._signatures.get(EMBEDDINGS_SIGNATURE)
        found = asked.ask(**{IMAGE_BYTES: [encoded]})[EMBEDDINGS][0] if asked else np.zeros(0)
        if len(found) != self._training.width:
            raise DeploymentError(
                f"Expected embeddings of {self._training.width} numbers from the model, as its run "
                f"kept them. Received: {len(found)}. Name the run that made it with --run."
            )
        return self._training.nearest(found, image_id)

    def _probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        ask = self._signatures[PIXELS_SIGNATURE].ask
        starts = range(0, len(pixels), _BATCH_SIZE)
        batches = (ask(**{PIXELS: pixels[start : start + _BATCH_SIZE]}) for start in starts)
        return np.concatenate([found[PROBABILITIES] for found in batches]).astype(np.float64)

    def _signature(self, name: str, folder: Path) -> LoadedModel:
        if name not in self._signatures:
            raise DeploymentError(
                f"Expected a model with the signature {name} in {folder}. Received: one with "
                f"{', '.join(sorted(self._signatures)) or 'none'}, as earlier versions of this "
                "project exported it. Train and push it again with `covers run --no-cache`."
            )
        return self._signatures[name]


def _first(given: Sequence[str]) -> Iterator[CoverFile]:
    number = 0
    for number, cover in enumerate(list_covers(given), start=1):
        if number > MOST_COVERS:
            raise ConfigError(
                f"Expected at most {MOST_COVERS} covers to explain. Received: more. Name fewer; "
                "`covers predict` answers for any number."
            )
        yield cover
    if not number:
        raise no_covers(given)


def _explained(model: ExplainedModel, cover: CoverFile) -> Explanation | Unreadable:
    try:
        encoded, facts = accept_with_facts(cover.content(), model.description.background)
    except RowRejected as rejected:
        return Unreadable(cover.name, rejected.reason.value, rejected.detail)
    return model.explain(cover.name, encoded, facts.image_id)


def _print(answer: Explanation | Unreadable, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer.to_dict(), allow_nan=False))
    elif isinstance(answer, Unreadable):
        say(str(answer), to_stderr=True)
    else:
        for line in describe(answer):
            say(line)


def _write(
    page: Path, location: str, explained: Sequence[Explanation], training: TrainingCovers | str
) -> None:
    from pipeline.commands.why.page import render_page

    pictures = {}
    if isinstance(training, TrainingCovers):
        found = [each.nearest for each in explained if isinstance(each.nearest, Nearest)]
        pictures = training.pictures({cover.identity for each in found for cover in each.covers})
    write_page(page, render_page(location, explained, pictures))
