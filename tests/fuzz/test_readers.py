"""Manifests, configurations, label schemas, weights and records."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import parquet

from components.contracts import quarantine
from components.contracts.decisions import DECISION_FILE, read_decision
from components.contracts.label_schema import LabelSchema
from components.contracts.quarantine import read_contradictions, read_quarantine, read_summary
from components.cover_example_gen.sources import find_source
from components.support.errors import ConfigError, CoversError, DeploymentError
from components.trainer.torch_weights import read_state_dict
from pipeline.config import PipelineConfig, load_config
from pipeline.configuration_options import SHIPPED_CONFIGS
from tests.fuzz.mutations import CORPUS, mutated, only

SCHEMA = Path(SHIPPED_CONFIGS).parents[1] / "schema" / "schema.pbtxt"
CONFIGS = [path.read_bytes() for path in sorted(SHIPPED_CONFIGS.glob("*.yaml"))]
CSV = [
    b'image,genres,split,year\na.jpg,rock|pop,train,1970\n"b,1.jpg","R&B; soul",test,\n',
    b"sep=;\nimage;genres\na.jpg;rock\n",
    b"filename\trock\tpop\na\t1\t0\nb\t0\t1\n",
    b"TRAIN,gs://bucket/a.jpg,rock,pop\n",
    "image,genres\nbjörk.jpg,électronique\n".encode("utf-16"),
]
CSV_TOKENS = [
    b",",
    b";",
    b"\t",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"sep=",
    b"../",
    b"|",
    b"gs://",
]
JSON_LINES = [
    b'{"file_name": "a.jpg", "genres": ["rock", "pop"], "year": 1970}\n{"file_name": "b.jpg"}\n',
    b'{"image": "a.jpg", "rock": true, "pop": 0, "x": {"y": [null, 1e999, -0.0]}}\n',
]
JSON_TOKENS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"1e999",
    b"-1",
    b"\\ud800",
    b"NaN",
]
YAML_TOKENS = [
    b"&a ",
    b"*a",
    b"<<: ",
    b"- ",
    b": ",
    b"{",
    b"[",
    b"!!int ",
    b"!!set ",
    b"? ",
    b"|",
    b"\t",
    b"0x",
    b"1:1",
    b"2020-13-40",
]
SCHEMA_TOKENS = [
    b"{",
    b"}",
    b":",
    b'"',
    b"feature ",
    b"size: ",
    b"-1",
    b"value: ",
    b"domain: ",
    b"\\x",
    b"#",
]
WEIGHTS = [path.read_bytes() for path in sorted(CORPUS.glob("*.pth"))]
WEIGHT_TOKENS = [
    b"R",
    b"b",
    b"u",
    b"t",
    b"(",
    b"\x85",
    b"\x86",
    b"Q",
    b"J",
    b"r\xff\xff\xff\x7f",
    b"ccollections\nOrderedDict\n",
    b"c__builtin__\neval\n",
    b")",
    b"}",
    b"]",
    b"s",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def _read_manifest(folder: Path, name: str, content: bytes) -> None:
    file = folder / name
    file.write_bytes(content)
    with only(CoversError):
        assert find_source(file).rows()


@given(content=mutated(CSV, CSV_TOKENS) | st.binary(max_size=200))
def test_csv(folder: Path, content: bytes) -> None:
    _read_manifest(folder, "labels.csv", content)


@given(content=mutated(JSON_LINES, JSON_TOKENS) | st.binary(max_size=200))
@example(content=b'{"file_name": "a.jpg", "genres": ' + b"[" * 50_000 + b"}\n")
@example(content=b'{"file_name": "a.jpg", "genres": 1' + b"0" * 5000 + b"}\n")
def test_json_lines(folder: Path, content: bytes) -> None:
    _read_manifest(folder, "labels.jsonl", content)


def _parquet_seeds() -> list[bytes]:
    tables = [
        pa.table({"image": ["a.jpg", "b.jpg"], "genres": [["rock"], ["pop", "jazz"]]}),
        pa.table({"image": [{"bytes": b"x", "path": "a.jpg"}, None], "label": [0, 1]}),
        pa.table({"image": ["a.jpg", None], "rock": [True, False], "pop": [0.0, 1.0]}),
    ]
    seeds = []
    for table in tables:
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink)
        seeds.append(sink.getvalue().to_pybytes())
    return seeds


@given(content=mutated(_parquet_seeds()) | st.binary(max_size=200))
def test_parquet(folder: Path, content: bytes) -> None:
    _read_manifest(folder, "labels.parquet", content)


@given(content=mutated(CONFIGS, YAML_TOKENS))
@example(content=b"!!int ")
def test_configuration_text(folder: Path, content: bytes) -> None:
    file = folder / "covers.yaml"
    file.write_bytes(content)
    with only(ConfigError):
        load_config(file)


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.sampled_from(["newest", "all", "1-3", "s3://bucket/data", "../../etc/passwd", "\x1b[2J"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def _places(values: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, value in values.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += _places(value, (*prefix, key))
    return found


def _complete() -> dict[str, Any]:
    config = load_config("covers")
    return config.model_dump(mode="json", by_alias=True)


COMPLETE = _complete()


@given(place=st.sampled_from(_places(COMPLETE)), value=_VALUES, extra=_VALUES)
def test_configuration_values(place: tuple[str, ...], value: Any, extra: Any) -> None:
    values = json.loads(json.dumps(COMPLETE))
    target = values
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    if isinstance(extra, str):
        target[extra] = extra
    with only(ConfigError):
        PipelineConfig.from_fields(values).schema_text()


@given(text=st.text(max_size=40) | _VALUES.map(lambda value: yaml.safe_dump(value)))
def test_overrides(text: str) -> None:
    with only(ConfigError):
        load_config("sample", [f"trainer.epochs={text}", text])


@given(content=mutated([SCHEMA.read_bytes()], SCHEMA_TOKENS))
def test_label_schema(folder: Path, content: bytes) -> None:
    file = folder / "schema.pbtxt"
    file.write_bytes(content)
    with only(ConfigError):
        LabelSchema.from_file(file)


def _state_dict(tensor: bytes) -> bytes:
    """Returns a weights file whose state dict is made by these instructions."""
    start = b"".join(
        pickle.dumps(value, protocol=2)
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    return start + b"\x80\x02" + tensor + b"." + pickle.dumps(["0"], protocol=2)


_REFERENCE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%sNtQ"
)
_TENSOR = (
    b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(" + _REFERENCE + b"K\x00%s%s\x89NtRs"
)


@given(content=mutated(WEIGHTS, WEIGHT_TOKENS, most=4))
@example(
    content=_state_dict(_TENSOR % (b"\x8a\x05\x00\x00\x00\x00\x01", b"K\x01\x85", b"K\x00\x85"))
)
@example(content=_state_dict(_TENSOR % (b"K\x01", b"J\xff\xff\xff\x7f\x85", b"K\x00\x85")))
@example(content=_state_dict(_TENSOR % (b"K\x01", b"X\x01\x00\x00\x00z\x85", b"K\x01\x85")))
@example(content=_state_dict(b"}r\xff\xff\xff\x7f"))
@example(content=_state_dict(b"})" + b"\x85" * 300_000 + b"K\x01s"))
@example(content=_state_dict(b"ccollections\nOrderedDict\n)" + b"\x85" * 300_000 + b"R"))
@example(content=_state_dict(b"c__builtin__\neval\nX\x01\x00\x00\x001\x85R"))
@example(content=_state_dict(b"\x8e" + struct.pack("<Q", 1 << 40)))
@example(content=_state_dict(b"X\xff\xff\xff\xff"))
@example(content=_state_dict(b"}")[:-10] + b"\x80\x02K\x07.")
def test_weights(folder: Path, content: bytes) -> None:
    file = folder / "weights.pth"
    file.write_bytes(content)
    with only(ConfigError):
        arrays = read_state_dict(file)
        assert sum(array.nbytes for array in arrays.values()) <= 2 * len(content)


_SUMMARY = json.dumps(
    {
        "source": "labels.csv",
        "rows_given": 3,
        "rows_ingested": 2,
        "rows_quarantined": 1,
        "quarantined_by_reason": {"missing_file": 1},
        "examples": 2,
        "examples_by_split": {"train": 2},
        "near_duplicate_groups": 0,
        "near_duplicates": 0,
        "genres_by_split": {"train": {"rock": 1}},
        "placeholders": [],
    }
).encode()
_ROW = b'{"source": "a", "line": 1, "path": "b.jpg", "reason": "missing_file", "detail": "x"}\n'
_PAIR = json.dumps(
    {
        "ids": ["a", "b"],
        "paths": ["a", "b"],
        "genres": [["x"], []],
        "distance": 1,
        "outcome": "kept",
    }
).encode()
_DECISION = json.dumps(
    {
        "format_version": 1,
        "gate": "DataGate",
        "headline": "x",
        "refusals": [{"where": "a", "what": "b"}],
        "warnings": [],
    }
).encode()
RECORDS: dict[str, tuple[str, Callable[[Path], Any], bytes]] = {
    "summary": (quarantine.SUMMARY_FILE_NAME, read_summary, _SUMMARY),
    "quarantine": (quarantine.QUARANTINE_FILE_NAME, read_quarantine, _ROW),
    "contradictions": (quarantine.CONTRADICTIONS_FILE_NAME, read_contradictions, _PAIR),
    "decision": (DECISION_FILE, read_decision, _DECISION),
}


@pytest.mark.parametrize("name", RECORDS)
@given(data=st.data())
def test_records(folder: Path, name: str, data: st.DataObject) -> None:
    file_name, read, seed = RECORDS[name]
    content = data.draw(mutated([seed], JSON_TOKENS) | st.binary(max_size=100))
    (folder / file_name).write_bytes(content)
    with only(DeploymentError):
        read(folder)
