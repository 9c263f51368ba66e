"""Every fault that a manifest can have: a quarantined row, a rule, or an error before any work."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.contracts.quarantine import RowRejected
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.fingerprint import fingerprint_data
from components.cover_example_gen.manifests.text_lines import LONGEST_LINE
from components.cover_example_gen.sources import find_source
from components.support.errors import ConfigError, DataError

Write = Callable[..., Path]
Ingest = Callable[..., Any]
GOOD_ROWS = 12


@pytest.fixture
def data(tmp_path: Path, write_cover: Write) -> Path:
    """A data directory with covers 00.jpg, 01.jpg, ... and no manifest yet."""
    for seed in range(GOOD_ROWS):
        write_cover(tmp_path / "data" / "covers" / f"{seed:02d}.jpg", seed)
    return tmp_path / "data"


def _write(data: Path, *rows: str, header: str = "image,genres", end: str = "\n") -> Path:
    good = [f"covers/{seed:02d}.jpg,rock" for seed in range(GOOD_ROWS)]
    manifest = data / "labels.csv"
    manifest.write_text(end.join([header, *good, *rows]) + end, newline="")
    return manifest


BAD_ROWS = [
    ("covers/00.jpg", "malformed_row"),  # too short
    ("covers/00.jpg,rock,more", "malformed_row"),  # too long
    (",rock", "malformed_row"),
    ("covers/\0.jpg,rock", "malformed_row"),
    (f"covers/{'x' * 5_000_000}.jpg,rock", "malformed_row"),
    ("/etc/hostname,rock", "outside_data_directory"),
    ("C:\\covers\\00.jpg,rock", "outside_data_directory"),
    ("../secret.jpg,rock", "outside_data_directory"),
    ("covers/../../secret.jpg,rock", "outside_data_directory"),
    ("https://example.org/00.jpg,rock", "outside_data_directory"),
    ("file:///etc/hostname,rock", "outside_data_directory"),
    ("s3://bucket/00.jpg,rock", "outside_data_directory"),
    ("covers/link-out.jpg,rock", "outside_data_directory"),
    ("folder-out/secret.jpg,rock", "outside_data_directory"),
    ("covers/loop.jpg,rock", "unreadable_file"),
    ("loop/00.jpg,rock", "unreadable_file"),
    ("covers/" + "n" * 300 + ".jpg,rock", "unreadable_file"),
    ("covers/gone.jpg,rock", "missing_file"),
    ("covers/00.jpg/inside.jpg,rock", "missing_file"),
    ('"covers/new\nline.jpg",rock', "missing_file"),
    ("covers,rock", "not_a_file"),
    (".,rock", "not_a_file"),
    ("covers/..,rock", "not_a_file"),
]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory, write_cover: Write, ingest: Ingest) -> Any:
    """The result of one manifest with a good row after each bad one."""
    data = tmp_path_factory.mktemp("bad") / "data"
    for seed in range(GOOD_ROWS):
        write_cover(data / "covers" / f"{seed:02d}.jpg", seed)
    secret = write_cover(data.parent / "secret.jpg", 99)
    (data / "covers" / "link-out.jpg").symlink_to(secret)
    (data / "folder-out").symlink_to(data.parent)
    (data / "covers" / "loop.jpg").symlink_to("loop.jpg")
    (data / "loop").symlink_to("loop")
    rows = [part for row, _ in BAD_ROWS for part in (row, "covers/01.jpg,rock")]
    return ingest(_write(data, *rows))


@pytest.mark.parametrize("number", range(len(BAD_ROWS)))
def test_a_bad_row_is_quarantined_with_its_line(number: int, bad: Any) -> None:
    before = [row for row, _ in BAD_ROWS[:number]]
    line = GOOD_ROWS + 2 + 2 * number + sum(row.count("\n") for row in before)
    (record,) = bad.quarantined[bad.quarantined["line"] == line].to_dict("records")
    assert record["reason"] == BAD_ROWS[number][1]
    assert record["source"] == "labels.csv"
    assert record["detail"].startswith("Expected")
    assert len(record["detail"]) <= 1000


def test_good_rows_among_bad_ones_are_ingested(bad: Any) -> None:
    assert bad.summary.rows_quarantined == len(BAD_ROWS)
    assert bad.summary.examples == GOOD_ROWS
    assert bad.summary.rows_given == GOOD_ROWS + 2 * len(BAD_ROWS)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("image,genres", " Image , GENRES ").encode(),
    ],
    ids=range(9),
)
def test_variants_of_csv_are_read(encode: Callable[[str], bytes], data: Path) -> None:
    manifest = _write(data)
    plain = [(row.path, row.genres) for row in find_source(manifest).rows()]
    manifest.write_bytes(encode(manifest.read_text()))
    assert [(row.path, row.genres) for row in find_source(manifest).rows()] == plain
    assert len(plain) == GOOD_ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "name the columns"),
        (b"\n\n", "name the columns"),
        (b"image,genres\n", "no row"),
        (b"file,label\na.jpg,rock\n", "name the columns"),
        (b"image,genres,image\na.jpg,rock,b.jpg\n", "once each"),
        (b"image,genres\ncaf\xe9.jpg,rock\n", "byte 0xe9 on line 2"),
        (b'image,genres\n"a.jpg,rock\nb.jpg,pop\n', "begins on line 2"),
        (b'image,genres\na.jpg,rock\n"b"c.jpg,pop\n', "begins on line 3"),
        (b'image,genres\n"' + b"a.jpg,rock\n" * 50_000, "begins on line 2"),
        (b"x" * 5_000_000, "name the columns"),
        (b"\xff\xfei\0m", "Save it as UTF-8"),
    ],
    ids=range(11),
)
def test_a_file_that_is_no_manifest_is_an_error(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        find_source(tmp_path).rows()
    assert len(str(caught.value)) < 1500


def test_a_missing_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing there"):
        find_source(tmp_path / "labels.csv")


def test_a_line_of_any_length_takes_bounded_memory(tmp_path: Path) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_bytes(b"image,genres\n" + b"x" * 50_000_000 + b"\na.jpg,rock\n")
    source = find_source(manifest)
    tracemalloc.start()
    rows = source.rows()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(row.line, row.path, bool(row.problem)) for row in rows] == [
        (2, "", True),
        (3, "a.jpg", False),
    ]
    assert peak < 40 * LONGEST_LINE


def test_a_quoted_newline_belongs_to_the_name(
    data: Path, write_cover: Write, ingest: Ingest
) -> None:
    write_cover(data / "covers" / "two\nlines.jpg", 50)
    result = ingest(_write(data, '"covers/two\nlines.jpg",rock', "covers/gone.jpg,rock"))
    assert result.summary.examples == GOOD_ROWS + 1
    assert list(result.quarantined["line"]) == [GOOD_ROWS + 4]


def test_unicode_forms_and_backslashes_find_the_file(
    data: Path, write_cover: Write, ingest: Ingest
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Beyoncé") for form in ("NFC", "NFD"))
    assert composed != decomposed
    write_cover(data / "covers" / f"{decomposed}.jpg", 50)
    write_cover(data / "covers" / f"1{composed}.jpg", 51)
    rows = [f"covers/{composed}.jpg,rock", f"covers/1{decomposed}.jpg,rock"]
    result = ingest(_write(data, *rows, "covers\\00.jpg,rock"))
    assert result.summary.rows_quarantined == 0
    assert result.summary.examples == GOOD_ROWS + 2


def test_duplicate_rows_are_one_cover(data: Path, ingest: Ingest) -> None:
    result = ingest(_write(data, "covers/00.jpg,rock", "covers/./00.jpg,rock"))
    assert (result.summary.rows_given, result.summary.examples) == (GOOD_ROWS + 2, GOOD_ROWS)
    assert result.summary.rows_merged == 2
    assert result.summary.united_labels == 0


def test_conflicting_labels_are_united_and_counted(data: Path, ingest: Ingest) -> None:
    result = ingest(_write(data, "covers/00.jpg,pop"))
    cover = next(
        example
        for _, example in result.examples().values()
        if b"covers/00.jpg" in example.features.feature["image/path"].bytes_list.value
    )
    assert list(cover.features.feature["genres"].bytes_list.value) == [b"pop", b"rock"]
    assert result.summary.united_labels == 1


def test_files_without_a_row_are_recorded_apart(
    data: Path, write_cover: Write, ingest: Ingest
) -> None:
    write_cover(data / "covers" / "unlisted.jpg", 60)
    (data / "covers" / "notes.txt").touch()
    result = ingest(_write(data))
    assert result.summary.unlisted_files == 1
    assert result.summary.rows_given == GOOD_ROWS
    record = (result.folder / "quarantine" / "unlisted_files.jsonl").read_text()
    assert '"path": "covers/unlisted.jpg", "reason": "unlisted_file"' in record


def test_names_that_are_no_utf_8_are_kept_and_reported_readably(
    tmp_path: Path, write_cover: Write, ingest: Ingest
) -> None:
    for seed in range(4):
        write_cover(tmp_path / "rock" / f"{seed}.jpg", seed)
    good = write_cover(tmp_path / "rock" / "good.jpg", 9)
    good.rename(os.fsdecode(bytes(tmp_path / "rock") + b"/caf\xe9.jpg"))
    Path(os.fsdecode(bytes(tmp_path / "rock") + b"/bad\xe9.jpg")).touch()
    result = ingest(tmp_path)
    assert result.summary.examples == 5
    assert result.reasons() == {"rock/bad\\xe9.jpg": "empty_file"}
    paths = {
        path
        for _, example in result.examples().values()
        for path in example.features.feature["image/path"].bytes_list.value
    }
    assert b"rock/caf\xe9.jpg" in paths


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(tempfile.gettempdir()) / "run-by-parquet"),)


def test_code_in_a_parquet_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's Python extension types are pickles: pyarrow before 14.0.1 loads them unasked."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    disguised = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(_Code()),
    }
    schema = pa.schema(
        [pa.field("image", pa.string(), metadata=disguised), pa.field("genres", pa.string())]
    )
    table = pa.table({"image": ["a.jpg"], "genres": ["rock"]}, schema=schema)
    parquet.write_table(table, tmp_path / "labels.parquet")
    with contextlib.suppress(DataError):
        find_source(tmp_path / "labels.parquet").rows()
    # Beam, which other tests import, defends its own process; nothing else here imports it.
    alone = "import sys; from components.cover_example_gen.sources import find_source\n"
    alone += "find_source(sys.argv[1]).rows()"
    subprocess.run(
        [sys.executable, "-c", alone, str(tmp_path / "labels.parquet")],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        check=False,
    )
    assert not (tmp_path / "run-by-parquet").exists()


def test_halves_of_characters_are_set_aside(data: Path, ingest: Ingest) -> None:
    rows = [{"image": f"covers/{n:02d}.jpg", "genres": ("rock", "pop")[n % 2]} for n in range(12)]
    rows += [
        {"image": "\ud800.jpg", "genres": "rock"},
        {"image": "\udc80/\ud800", "genres": "rock"},
        {"image": "covers/00.jpg", "genres": "\ud800"},
        {"image": "covers/01.jpg", "genres": ["\udc80"]},
    ]
    (data / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert fingerprint_data(data)
    quarantined = ingest(data).quarantined
    assert list(quarantined["line"]) == [13, 14, 15, 16]
    assert list(quarantined["reason"])[:3] == ["malformed_row", "malformed_row", "unknown_genre"]


def test_the_reason_does_not_depend_on_what_was_missing_before(data: Path) -> None:
    directory = DataDirectory(data, 1 << 20)
    reasons = []
    for path in (
        "covers/gone.jpg",
        "covers/.",
        "covers/..",
        "covers/" + "n" * 300,
        "covers/00.JPG",
    ):
        with pytest.raises(RowRejected) as caught:
            directory.read(path)
        reasons.append(caught.value.reason.value)
    assert reasons == [
        "missing_file",
        "not_a_file",
        "not_a_file",
        "unreadable_file",
        "missing_file",
    ]
    assert directory.read("covers/00.jpg")
