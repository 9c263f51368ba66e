from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contracts.request_log.files import whole_files
from components.contracts.request_log.writer import RequestLog
from components.cover_example_gen.images import AcceptedImages, inspect_image
from components.support.errors import ConfigError
from pipeline.commands.drift.answered import AGAIN, CUT_OFF, DAMAGED, OTHER_VERSIONS, read_answered
from pipeline.commands.drift.covers import FACTS, facts_of, saturation

GENRES = 3


@pytest.fixture
def encoded(draw_cover: Callable[..., Image.Image]) -> Callable[[int], bytes]:
    def encode(seed: int) -> bytes:
        out = io.BytesIO()
        draw_cover(seed).save(out, "JPEG")
        return out.getvalue()

    return encode


def _log(folder: Path, images: list[bytes], version: int = 7, genres: int = GENRES) -> None:
    log = RequestLog(folder, share=1.0, largest_bytes=1 << 30, seed=0)
    for image in images:
        log.record(image, None, [0.2, 0.5, 0.9][:genres], [0, 0, 1][:genres], version)
    log.close()


def test_the_answered_covers_are_columns(tmp_path: Path, encoded: Callable[[int], bytes]) -> None:
    _log(tmp_path, [encoded(1), encoded(2)])
    covers = read_answered(tmp_path, "7", GENRES)
    assert len(covers) == 2 and not covers.left_out
    assert tuple(covers.facts) == FACTS
    facts = inspect_image(encoded(1), AcceptedImages(("JPEG",), 1, 1000))
    assert covers.facts["image/brightness"][0] == pytest.approx(facts.brightness)
    assert covers.facts["image/format"].tolist() == ["JPEG", "JPEG"]
    assert covers.probabilities == pytest.approx(np.array([[0.2, 0.5, 0.9]] * 2))
    assert covers.decisions.tolist() == [[False, False, True]] * 2


def test_one_cover_asked_often_is_one_cover(
    tmp_path: Path, encoded: Callable[[int], bytes]
) -> None:
    _log(tmp_path, [encoded(1)] * 50 + [encoded(2)])
    covers = read_answered(tmp_path, "7", GENRES)
    assert len(covers) == 2 and covers.left_out == {AGAIN: 49}


def test_damage_is_left_out_and_counted(tmp_path: Path, encoded: Callable[[int], bytes]) -> None:
    _log(tmp_path, [encoded(number) for number in range(4)])
    (path,) = whole_files(tmp_path)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content[:-3])
    covers = read_answered(tmp_path, "7", GENRES)
    assert len(covers) == 2 and covers.left_out == {DAMAGED: 1, CUT_OFF: 1}


def test_a_log_of_damage_only_has_no_covers(
    tmp_path: Path, encoded: Callable[[int], bytes]
) -> None:
    _log(tmp_path, [encoded(1)])
    (path,) = whole_files(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    covers = read_answered(tmp_path, "7", GENRES)
    assert len(covers) == 0 and covers.left_out == {CUT_OFF: 1}


def test_another_version_is_not_mixed_in(tmp_path: Path, encoded: Callable[[int], bytes]) -> None:
    _log(tmp_path, [encoded(1)])
    _log(tmp_path, [encoded(2), encoded(3)], version=8)
    assert read_answered(tmp_path, "7", GENRES).left_out == {OTHER_VERSIONS: 2}
    nothing = read_answered(tmp_path, "9", GENRES)
    assert len(nothing) == 0 and nothing.left_out == {OTHER_VERSIONS: 3}


def test_a_model_of_other_genres_is_refused(
    tmp_path: Path, encoded: Callable[[int], bytes]
) -> None:
    _log(tmp_path, [encoded(1)], genres=2)
    with pytest.raises(ConfigError, match="2 probabilities, from a model of other genres"):
        read_answered(tmp_path, "7", GENRES)


def test_no_log_and_an_empty_log_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such folder.*covers serve --log-requests"):
        read_answered(tmp_path / "nowhere", "7", GENRES)
    (tmp_path / "requests-1-a.tfrecord").write_bytes(b"")
    with pytest.raises(ConfigError, match="an empty log"):
        read_answered(tmp_path, "7", GENRES)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [((255, 0, 0), 1.0), ((90, 90, 90), 0.0), ((255, 255, 255), 0.0), ((200, 100, 100), 0.5)],
)
def test_saturation(colour: tuple[int, int, int], expected: float) -> None:
    for image_format, tolerance in (("PNG", 0.005), ("JPEG", 0.02)):
        out = io.BytesIO()
        Image.new("RGB", (200, 90), colour).save(out, image_format)
        assert saturation(out.getvalue()) == pytest.approx(expected, abs=tolerance)


def test_known_facts_stay(encoded: Callable[[int], bytes]) -> None:
    assert facts_of(encoded(1), {"image/size": 5})["image/size"] == 5
    assert facts_of(encoded(1))["image/size"] == len(encoded(1))
