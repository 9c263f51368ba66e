"""From the values of rows to the features of an example."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.contracts.label_schema import LabelSchema
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.examples import Cover, make_example
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.plan import make_plan
from components.cover_example_gen.rows import inspect_rows
from components.cover_example_gen.slice_values import LONGEST_VALUE, normalised, united_values
from components.cover_example_gen.sources import Row, Source
from components.cover_example_gen.spans import Selection, Span
from components.support.errors import ConfigError


@pytest.fixture
def plan_covers(
    tmp_path: Path, write_cover: Callable[..., Path], labels: LabelSchema
) -> Callable[..., list[Cover]]:
    """Returns a function that plans rows of given (cover number, values)."""

    def plan(*rows: tuple[int, dict[str, str]]) -> list[Cover]:
        given = []
        for line, (number, values) in enumerate(rows, 2):
            write_cover(tmp_path / f"{number}.jpg", number)
            pairs = tuple(values.items())
            given.append(Row("labels.csv", line, f"{number}.jpg", ("jazz",), values=pairs))
        selection = Selection((), (Span(None, Source(tmp_path, tmp_path / "labels.csv")),))
        inspected = inspect_rows(given, 0, DataDirectory(tmp_path, 1 << 20), labels)
        planned = make_plan(inspected, selection, IngestConfig())
        return [cover for covers in planned.covers.values() for cover in covers]

    return plan


def slices_of(cover: Cover, labels: LabelSchema) -> dict[str, list[str]]:
    features = make_example(cover, labels, b"an image").features.feature
    return {
        key: [value.decode() for value in features[key].bytes_list.value]
        for key in features
        if key.startswith("slice/")
    }


def test_a_cover_has_the_values_of_its_row(
    plan_covers: Callable[..., list[Cover]], labels: LabelSchema
) -> None:
    [cover] = plan_covers((1, {"year": " 1983 ", "country": "US"}))
    assert slices_of(cover, labels) == {"slice/country": ["US"], "slice/year": ["1983"]}


def test_rows_of_one_image_unite_their_values(
    plan_covers: Callable[..., list[Cover]], labels: LabelSchema
) -> None:
    [cover] = plan_covers(
        (1, {"year": "1999", "country": "UK"}), (1, {"year": "1983"}), (1, {"year": "1999"})
    )
    assert slices_of(cover, labels) == {"slice/country": ["UK"], "slice/year": ["1983", "1999"]}


@pytest.mark.parametrize("values", [{}, {"year": ""}, {"year": " \t\u00a0"}])
def test_a_missing_value_is_an_absent_feature(
    plan_covers: Callable[..., list[Cover]], labels: LabelSchema, values: dict[str, str]
) -> None:
    [cover] = plan_covers((1, values))
    assert slices_of(cover, labels) == {}
    assert make_example(cover, labels, None).features.feature.keys() == (
        make_example(cover, labels, b"x").features.feature.keys() - {"image/encoded"}
    )


def hostile_texts() -> Iterator[str]:
    yield "Bj" + unicodedata.normalize("NFD", "ö") + "rk"
    yield "line\nbreak\x00and\x85controls"
    yield "bytes that are not UTF-8: \udcff"
    yield "x" * 100_000
    yield "東京" * 80
    yield "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("text", hostile_texts())
def test_values_are_normal_bounded_and_utf_8(
    plan_covers: Callable[..., list[Cover]], labels: LabelSchema, text: str
) -> None:
    [cover] = plan_covers((1, {"artist": text}))
    [value] = slices_of(cover, labels)["slice/artist"]
    assert value == normalised(text) == normalised(value)
    assert 0 < len(value) <= LONGEST_VALUE
    assert unicodedata.is_normalized("NFC", value)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)


def test_composed_and_decomposed_values_are_one() -> None:
    forms = [unicodedata.normalize(form, "Björk") for form in ("NFC", "NFD")]
    assert united_values([[("artist", form)] for form in forms]) == (("artist", ("Björk",)),)


@pytest.mark.parametrize(
    "columns",
    [["year", "Year"], ["year", ""], ["  "], ["image"], ["Genres"], ["year", " year"]],
)
def test_columns_that_cannot_be_sliced_by_are_refused(columns: list[str]) -> None:
    with pytest.raises(ConfigError, match="Expected the names of distinct columns"):
        IngestConfig.from_fields({"slices": columns})


def test_columns_are_named_as_in_the_data() -> None:
    config = IngestConfig.from_fields({"slices": ["Release Year ", "pays d'origine"]})
    assert config.slices == ("Release Year", "pays d'origine")
    assert IngestConfig().slices == ()
