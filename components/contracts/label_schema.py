"""The label schema: genres, feature keys and the parsing spec, read from one file."""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.contracts.genre_names import (
    GENRE_SEPARATOR,
    FoundGenres,
    GenreNames,
    listing,
    spelling,
)
from components.support.errors import ConfigError
from components.support.texts import first_few, shortened

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import schema_pb2

IMAGE_ENCODED = "image/encoded"
IMAGE_ID = "image/id"
IMAGE_GROUP = "image/group"
IMAGE_PATH = "image/path"
IMAGE_FORMAT = "image/format"
IMAGE_WIDTH = "image/width"
IMAGE_HEIGHT = "image/height"
IMAGE_SIZE = "image/size"
IMAGE_ORIENTATION = "image/orientation"
IMAGE_BRIGHTNESS = "image/brightness"
GENRES = "genres"
LABEL = "label"

FEATURE_KEYS = (
    IMAGE_ENCODED,
    IMAGE_ID,
    IMAGE_GROUP,
    IMAGE_PATH,
    IMAGE_FORMAT,
    IMAGE_WIDTH,
    IMAGE_HEIGHT,
    IMAGE_SIZE,
    IMAGE_ORIENTATION,
    IMAGE_BRIGHTNESS,
    GENRES,
    LABEL,
)
PROFILED_FEATURES = tuple(key for key in FEATURE_KEYS if key != IMAGE_ENCODED)
IMAGE_FACTS = (
    IMAGE_FORMAT,
    IMAGE_WIDTH,
    IMAGE_HEIGHT,
    IMAGE_SIZE,
    IMAGE_ORIENTATION,
    IMAGE_BRIGHTNESS,
)

# Before the name of a column of the data that the evaluation slices by.
SLICE_PREFIX = "slice/"

TRAIN_SPLIT = "train"
EVAL_SPLIT = "eval"
TEST_SPLIT = "test"
SPLITS = (TRAIN_SPLIT, EVAL_SPLIT, TEST_SPLIT)

# Covers without their images, for statistics only: whether a new span has drifted from the last.
NEWEST_SPAN_SPLIT = "newest_span"
PREVIOUS_SPAN_SPLIT = "previous_span"
DRIFT_SPLITS = (NEWEST_SPAN_SPLIT, PREVIOUS_SPAN_SPLIT)

SCHEMA_FILE_NAME = "schema.pbtxt"

# What `components.trainer.preprocessing` decodes.
DECODABLE_FORMATS = ("JPEG", "PNG")

_LARGEST_SIDE = 10_000
LARGEST_SCHEMA = 1 << 20
MOST_GENRES = 10_000
LONGEST_GENRE = 100
LARGEST_FILE = 32 << 20  # bytes, unless the schema gives a limit for image/size


@dataclasses.dataclass(frozen=True)
class LabelSchema:
    """The genres, in the order of the model's outputs, and the images accepted.

    Attributes:
        genres: genre names as the schema's string domain lists them.
        image_formats: names of the accepted image formats (`JPEG`, `PNG`).
        smallest_side: least accepted width and height, pixels.
        largest_side: greatest accepted width and height, pixels.
        largest_file: greatest accepted size of an encoded file, bytes.
    """

    genres: tuple[str, ...]
    image_formats: tuple[str, ...]
    smallest_side: int
    largest_side: int
    largest_file: int

    @classmethod
    def from_file(cls, path: Path | str) -> LabelSchema:
        """Reads a text-format `tensorflow_metadata.Schema`.

        Raises:
            ConfigError: the file is missing, is not a schema, or is not a label schema.
        """
        return cls.from_proto(read_schema(path), source=str(path))

    @classmethod
    def from_text(cls, text: str) -> LabelSchema:
        """Reads the content of a schema file; see `from_file`."""
        return cls.from_proto(parse_schema(text, source="the schema"))

    @classmethod
    def from_proto(cls, schema: schema_pb2.Schema, source: str = "the schema") -> LabelSchema:
        """Reads genres and formats from a schema message; see `from_file`."""
        features = {feature.name: feature for feature in schema.feature}
        missing = [key for key in FEATURE_KEYS if key not in features]
        if missing:
            raise ConfigError(
                f"Expected {source} to describe the features {', '.join(FEATURE_KEYS)}. "
                f"Missing: {', '.join(missing)}. Start from schema/schema.pbtxt."
            )
        genres = _domain_values(schema, features[GENRES])
        if len(genres) < 2 or len(set(genres)) != len(genres):
            raise ConfigError(
                f"Expected {source} to give feature '{GENRES}' a string domain of at least two "
                f"distinct genres. Received: {listing(genres) or 'none'}."
            )
        if len(genres) > MOST_GENRES:
            raise ConfigError(
                f"Expected {source} to name at most {MOST_GENRES:,} genres. Received: "
                f"{len(genres):,}. Leave out those with few covers."
            )
        _check_genre_names(genres, source)
        sizes = [dim.size for dim in features[LABEL].shape.dim]
        if sizes != [len(genres)]:
            raise ConfigError(
                f"Expected feature '{LABEL}' in {source} to have shape {{ dim {{ size: "
                f"{len(genres)} }} }}, one value per genre ({listing(genres)}). "
                f"Received: [{first_few(sizes)}]. Change the size of '{LABEL}' along "
                "with the genres."
            )
        formats = _domain_values(schema, features[IMAGE_FORMAT])
        if not formats or not set(formats) <= set(DECODABLE_FORMATS):
            raise ConfigError(
                f"Expected feature '{IMAGE_FORMAT}' in {source} to have a string domain of "
                f"formats that the model can decode: {', '.join(DECODABLE_FORMATS)}. "
                f"Received: {first_few(formats) or 'none'}."
            )
        sides = [features[key].int_domain for key in (IMAGE_WIDTH, IMAGE_HEIGHT)]
        return cls(
            genres=genres,
            image_formats=formats,
            smallest_side=max(1, *(side.min for side in sides)),
            largest_side=min(side.max for side in sides) or _LARGEST_SIDE,
            largest_file=features[IMAGE_SIZE].int_domain.max or LARGEST_FILE,
        )

    def multi_hot(self, genres: Iterable[str]) -> list[float]:
        """Returns the label vector, shape (len(self.genres),), 1.0 for each genre given."""
        given = set(genres)
        return [float(genre in given) for genre in self.genres]

    def match(self, name: str) -> str | None:
        """Returns the genre that `name` spells, or None.

        Case, white space, hyphens, underscores and other punctuation are ignored:
        "Hip-Hop", "hip hop" and " HIPHOP " all spell the genre "hiphop".
        """
        return self._names.match(name)

    def find_all(self, names: Iterable[str], *, listed: bool) -> FoundGenres:
        """Finds the genres of a row, and what in it is none; see `GenreNames.find_all`."""
        return self._names.find_all(names, listed=listed)

    @functools.cached_property
    def _names(self) -> GenreNames:
        return GenreNames(self.genres)


def read_schema(path: Path | str) -> schema_pb2.Schema:
    """Reads a text-format `tensorflow_metadata.Schema`.

    Raises:
        ConfigError: the file is missing or cannot be parsed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_SCHEMA + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Expected a schema file at {path}. Received: {shortened(str(error))}."
        ) from error
    return parse_schema(text, source=str(path))


def parse_schema(text: str, source: str) -> schema_pb2.Schema:
    """Reads a text-format `tensorflow_metadata.Schema`; `source` names it in messages.

    Raises:
        ConfigError: it cannot be parsed, or is too large.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    if len(text) > LARGEST_SCHEMA:
        raise ConfigError(
            f"Expected {source} to hold at most {LARGEST_SCHEMA:,} characters. Received: more."
        )
    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"Expected {source} to be a tensorflow_metadata Schema in text format. "
            f"Received: {shortened(str(error))} (line:column). See schema/schema.pbtxt for an "
            "example."
        ) from error


def set_genres(schema: schema_pb2.Schema, genres: Sequence[str]) -> None:
    """Makes these the genres of a label schema: its string domain, and the size of the label."""
    features = {feature.name: feature for feature in schema.feature}
    if features[GENRES].HasField("string_domain"):
        domain = features[GENRES].string_domain
    else:
        domain = next(d for d in schema.string_domain if d.name == features[GENRES].domain)
    domain.value[:] = genres
    features[LABEL].shape.dim[0].size = len(genres)


def allow_no_genre(schema: schema_pb2.Schema) -> None:
    """Lets examples have no value of `genres`."""
    genres = next(feature for feature in schema.feature if feature.name == GENRES)
    genres.ClearField("presence")
    if genres.HasField("value_count"):
        genres.value_count.min = 0


def add_slice_features(schema: schema_pb2.Schema, columns: Iterable[str]) -> None:
    """Describes the features of slice columns, as far as the schema does not: optional texts."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    described = {feature.name for feature in schema.feature}
    for name in map(slice_feature, columns):
        if name not in described:
            schema.feature.add(name=name, type=schema_pb2.BYTES).value_count.min = 1


def slice_feature(column: str) -> str:
    """Returns the feature that holds a slice column, such as `slice/year`."""
    return SLICE_PREFIX + column


def parsing_spec(schema: LabelSchema) -> dict[str, tf.io.FixedLenFeature]:
    """Returns what the model reads of a tf.Example: image bytes () and label (n,)."""
    import tensorflow as tf

    return {
        IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string),
        LABEL: tf.io.FixedLenFeature((len(schema.genres),), tf.float32),
    }


def _domain_values(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> tuple[str, ...]:
    if feature.HasField("string_domain"):
        return tuple(feature.string_domain.value)
    domains: dict[str, Sequence[str]] = {
        domain.name: domain.value for domain in schema.string_domain
    }
    return tuple(domains.get(feature.domain, ()))


def _check_genre_names(genres: Sequence[str], source: str) -> None:
    spellings: dict[str, str] = {}
    for genre in genres:
        if len(genre) > LONGEST_GENRE:
            raise ConfigError(
                f"Expected genre names in {source} to have at most {LONGEST_GENRE} characters. "
                f"Received: {len(genre):,}, {shortened(repr(genre), LONGEST_GENRE)}."
            )
        spelled = spelling(genre)
        if not spelled or GENRE_SEPARATOR in genre or _has_control_characters(genre):
            raise ConfigError(
                f"Expected genre names in {source} to hold a letter, digit or symbol, no "
                f"'{GENRE_SEPARATOR}' and no line break or other control character. "
                f"Received: {genre!r}."
            )
        if spelled in spellings:
            raise ConfigError(
                f"Expected genre names in {source} to differ in more than case, punctuation "
                f"and encoding. Received: {spellings[spelled]!r} and {genre!r}."
            )
        spellings[spelled] = genre


def _has_control_characters(name: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
