from __future__ import annotations

import errno
import io
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.contracts.request_log import writer
from components.contracts.request_log.files import partial_files, read_log, whole_files
from components.contracts.request_log.framing import CutOff, DamagedRecord
from components.contracts.request_log.records import AnsweredCover
from components.contracts.request_log.writer import RequestLog
from components.cover_example_gen.images import AcceptedImages, inspect_image
from components.support.errors import ConfigError

ANSWER: dict[str, Any] = {"probabilities": [0.25, 0.75], "decisions": [0, 1], "version": 7}
LARGE = 1 << 30


@pytest.fixture(scope="session")
def encoded(draw_cover: Callable[..., Image.Image]) -> bytes:
    out = io.BytesIO()
    draw_cover(1).save(out, "JPEG", comment=b"secret")
    return out.getvalue()


def _filled(folder: Path, encoded: bytes, covers: int, **options: Any) -> RequestLog:
    log = RequestLog(folder, **{"share": 1.0, "largest_bytes": LARGE, "seed": 0, **options})
    for number in range(covers):
        log.record(encoded, None, [number / 1000, 0.5], [0, 1], 7)
    return log


def _kinds(folder: Path) -> Counter[str]:
    return Counter(type(record).__name__ for record in read_log(folder))


def _numbers(folder: Path) -> list[int]:
    return [
        round(record.probabilities[0] * 1000)
        for record in read_log(folder)
        if isinstance(record, AnsweredCover)
    ]


def test_a_record_is_the_answer_and_the_facts(tmp_path: Path, encoded: bytes) -> None:
    facts = inspect_image(encoded, AcceptedImages(("JPEG",), 1, 1000))
    log = RequestLog(tmp_path / "log", share=1.0, largest_bytes=LARGE, seed=0)
    log.record(encoded, facts, **ANSWER)
    log.close()
    assert log.counts.written == 1
    (record,) = read_log(tmp_path / "log")
    assert isinstance(record, AnsweredCover)
    assert record.facts == {
        "image/format": "JPEG",
        "image/width": 100,
        "image/height": 100,
        "image/size": len(encoded),
        "image/orientation": 1,
        "image/brightness": pytest.approx(facts.brightness),
    }
    assert (record.probabilities, record.decisions) == ((0.25, 0.75), (0, 1))
    assert record.version == "7"
    assert record.hour % 3600 == 0
    assert b"secret" not in b"".join(path.read_bytes() for path in whole_files(tmp_path / "log"))
    assert record.image_id != facts.image_id


def test_tensorflow_reads_the_files(tmp_path: Path, encoded: bytes) -> None:
    import tensorflow as tf

    _filled(tmp_path, encoded, 3).close()
    files = [str(path) for path in whole_files(tmp_path)]
    examples = [
        tf.train.Example.FromString(each.numpy()) for each in tf.data.TFRecordDataset(files)
    ]
    assert [len(e.features.feature["probabilities"].float_list.value) for e in examples] == [2] * 3
    assert set(examples[0].features.feature) == {
        "image/id",
        "image/encoded",
        "probabilities",
        "decisions",
        "model/version",
        "time",
    }


def test_a_share_is_drawn_by_the_seed(tmp_path: Path, encoded: bytes) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        log = _filled(tmp_path / name, encoded, 400, share=0.25, seed=seed)
        log.close()
        assert 70 < log.counts.written < 130
        assert log.counts.written + log.counts.passed_over == 400
    a, b, c = (_numbers(tmp_path / name) for name in "abc")
    assert a == b != c
    nothing = _filled(tmp_path / "nothing", encoded, 10, share=0.0)
    assert nothing.counts.passed_over == 10 and not whole_files(tmp_path / "nothing")


def test_the_oldest_are_dropped_and_the_bound_holds(tmp_path: Path, encoded: bytes) -> None:
    largest = 40 * (len(encoded) + 300)
    log = _filled(tmp_path, encoded, 0, largest_bytes=largest)
    for number in range(200):
        log.record(encoded, None, [number / 1000, 0.5], [0, 1], 7)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= largest
    log.close()
    kept = _numbers(tmp_path)
    assert kept == list(range(200 - len(kept), 200))
    assert len(kept) > 30
    assert log.counts.written == 200


def test_a_record_larger_than_the_log_is_not_kept(tmp_path: Path, encoded: bytes) -> None:
    assert _filled(tmp_path, encoded, 2, largest_bytes=100).counts.failed == 2


def test_threads_share_a_log(tmp_path: Path, encoded: bytes) -> None:
    log = _filled(tmp_path, encoded, 0)
    threads = [
        threading.Thread(target=lambda: [log.record(encoded, None, **ANSWER) for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert _kinds(tmp_path) == {"AnsweredCover": 400}


def test_two_writers_leave_each_other_alone(tmp_path: Path, encoded: bytes) -> None:
    first = _filled(tmp_path, encoded, 3)
    second = _filled(tmp_path, encoded, 4)
    first.record(encoded, None, **ANSWER)
    assert len(partial_files(tmp_path)) == 2
    assert _kinds(tmp_path) == {"AnsweredCover": 8}
    first.close()
    second.close()
    assert not partial_files(tmp_path) and _kinds(tmp_path) == {"AnsweredCover": 8}


WRITER = """
import sys
from pathlib import Path
from components.contracts.request_log.writer import RequestLog
log = RequestLog(Path(sys.argv[1]), share=1.0, largest_bytes=1 << 30, seed=0)
encoded = Path(sys.argv[2]).read_bytes()
for number in range(100_000):
    log.record(encoded, None, [0.5, 0.5], [0, 1], 7)
    if number == 20:
        print("ready", flush=True)
"""


def test_what_a_killed_writer_left_is_read_and_then_cleaned(tmp_path: Path, encoded: bytes) -> None:
    (tmp_path / "cover.jpg").write_bytes(encoded)
    folder = tmp_path / "log"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(tmp_path / "cover.jpg")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (partial,) = partial_files(folder)
    with partial.open("ab") as file:  # whether or not the kill came within a record
        file.write(b"\x10\0\0")
    found = _kinds(folder)
    assert found["CutOff"] == 1 and found["AnsweredCover"] > 20
    _filled(folder, encoded, 1).close()
    assert not partial_files(folder)
    assert _kinds(folder) == {"AnsweredCover": found["AnsweredCover"] + 1}


def test_a_partial_file_without_a_whole_record_is_removed(tmp_path: Path, encoded: bytes) -> None:
    (tmp_path / "requests-1-a.tfrecord.partial").write_bytes(b"\x10")
    _filled(tmp_path, encoded, 0)
    assert not list(tmp_path.iterdir())


def test_damage_is_passed_over_and_shows(tmp_path: Path, encoded: bytes) -> None:
    _filled(tmp_path, encoded, 5).close()
    (path,) = whole_files(tmp_path)
    content = bytearray(path.read_bytes())
    size = len(content) // 5
    content[size + 40] ^= 1  # in the content of the second
    path.write_bytes(content)
    assert _numbers(tmp_path) == [0, 2, 3, 4]
    assert _kinds(tmp_path)[DamagedRecord.__name__] == 1
    content[3 * size] ^= 1  # in the length of the fourth
    path.write_bytes(content)
    assert _numbers(tmp_path) == [0, 2]
    path.write_bytes(content[: size - 5])
    assert _kinds(tmp_path) == {CutOff.__name__: 1}


def test_other_records_are_damage(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "requests-1-a.tfrecord")) as file:
        file.write(b"no example")
        file.write(tf.train.Example().SerializeToString())
    assert _kinds(tmp_path) == {"DamagedRecord": 2}


def test_a_full_disk_is_counted_and_said_once(
    tmp_path: Path,
    encoded: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = _filled(tmp_path, encoded, 2)
    (partial,) = partial_files(tmp_path)
    file = log._file

    class Full:
        """Takes a few bytes of a record, and then no more, as a disk that fills up does."""

        def __init__(self) -> None:
            self.has_room = True

        def write(self, content: memoryview) -> int:
            if not self.has_room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.has_room = False
            return file.write(content[:10])

        def fileno(self) -> int:
            return file.fileno()

    with caplog.at_level(logging.WARNING, "covers"):
        for _ in range(3):
            monkeypatch.setattr(log, "_file", Full())
            log.record(encoded, None, **ANSWER)
    assert log.counts.failed == 3
    assert [record.getMessage().count("No space left") for record in caplog.records] == [1]
    monkeypatch.setattr(log, "_file", file)
    log.record(encoded, None, **ANSWER)
    log.close()
    assert _kinds(tmp_path) == {"AnsweredCover": 3}
    assert not partial.exists()


def test_what_cannot_be_cleaned_is_not_kept(tmp_path: Path) -> None:
    log = _filled(tmp_path, b"no image", 2)
    log.close()
    assert log.counts.failed == 2 and not list(tmp_path.iterdir())


def test_nothing_is_raised_when_the_folder_goes_away(tmp_path: Path, encoded: bytes) -> None:
    log = _filled(tmp_path / "log", encoded, 1)
    log.close()
    for path in whole_files(tmp_path / "log"):
        path.unlink()
    (tmp_path / "log").rmdir()
    log.record(encoded, None, **ANSWER)
    assert log.counts == writer.Counts(written=1, failed=1)


@pytest.mark.parametrize("options", [{"share": 1.5}, {"share": -0.1}, {"largest_bytes": 0}])
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"Expected .* Received: "):
        RequestLog(tmp_path, **{"share": 1.0, "largest_bytes": LARGE, "seed": 0, **options})


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    with pytest.raises(ConfigError, match="File exists"):
        RequestLog(tmp_path / "log", share=1.0, largest_bytes=LARGE, seed=0)


def test_no_log_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder without one"):
        list(read_log(tmp_path))
    with pytest.raises(ConfigError, match="no such folder"):
        list(read_log(tmp_path / "nowhere"))
