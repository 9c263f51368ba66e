"""Writes a synthetic, labelled, multi-label set of album covers.

Every genre has a visual language: habits in palette, texture, motifs, layout, frame and type. A
cover follows a habit more often than not, but never always, and languages overlap; so no single
cue gives a genre away, but all of them together do. Languages come from a genre's index and name
alone, so a model trained on one sample can be tried on another.
"""

from __future__ import annotations

import cmath
import colorsys
import contextlib
import csv
import fcntl
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from components.support.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

LABELS_FILE = "labels.csv"
IMAGES_FOLDER = "images"
RECEIPT_FILE = "sample.json"
_STAGING_PREFIX = ".covers-sample-"

_GENERATOR_VERSION = 1
_SIZE = 300
_DRAWN = 2 * _SIZE  # Shapes and letters are drawn at twice the size, for smooth edges.
_QUALITY = 88
_GENRES_PER_COVER = {1: 0.75, 2: 0.22, 3: 0.03}
_COVERS_PER_REISSUE = 50

# Per cue: the weights added to a genre's favourite kind and to its second choice, and all kinds,
# of which every other has weight one.
_CUES = {
    "texture": (80, 8, "stripes dots blotches bricks checks rays rings grain"),
    "motif": (48, 10, "disc triangle burst blob bar flower cross half bolt"),
    "style": (6, 0.5, "solid outline nested"),
    "layout": (4, 1, "hero scatter grid row wheel"),
    "frame": (3, 1, "none frame band side inset"),
    "type": (3, 1, "top bottom middle spine"),
}
_SYLLABLES = ("ka", "lo", "mi", "ver", "sun", "dar", "el", "no", "tha", "bel", "qui", "zen", "um")

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class _Language:
    """One genre's habits: centres of its colours and marks, and a weight for every kind of cue."""

    hues: tuple[float, float]
    saturation: float
    lightness: float
    pitch: float
    slant: float
    weights: dict[str, dict[str, float]]

    def pick(self, random: Random, cue: str) -> str:
        return random.choices([*self.weights[cue]], [*self.weights[cue].values()])[0]


def write_sample(
    directory: Path,
    *,
    genres: Sequence[str],
    images: int = 600,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes a synthetic cover set, or returns at once if the same one is already there.

    Args:
        directory: Where to write `labels.csv` and `images/`; absent, empty, or the same sample.
        genres: Genre names in the schema's order; at least two.
        images: How many covers to write.
        seed: Which sample: equal arguments give equal bytes.
        progress: Called after each cover with the number written and `images`.

    Returns:
        The absolute path of the directory.

    Raises:
        ConfigError: If an argument is out of range or the directory holds anything else.
    """
    _check_arguments(genres, images, seed)
    directory = Path(directory).expanduser().resolve()
    receipt = {"version": _GENERATOR_VERSION, "genres": [*genres], "images": images, "seed": seed}
    # An existing folder may be a mount point or a working directory: fill it, never replace it.
    exists = directory.exists()
    home = directory if exists else directory.parent
    for left_over in half_written_samples(home):
        shutil.rmtree(left_over, ignore_errors=True)
    if _is_written(directory, receipt):
        return directory
    try:
        home.mkdir(parents=True, exist_ok=True)
        workspace = tempfile.TemporaryDirectory(dir=home, prefix=_STAGING_PREFIX)
    except OSError as error:
        raise ConfigError(f"Expected a writable location. Received: {error}") from error
    with workspace as folder, _held(Path(folder)):
        staged = Path(folder) / "sample"
        _write_files(staged, genres, images, seed, progress)
        (staged / RECEIPT_FILE).write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
        if not exists:
            return staged.replace(directory)
        for name in (IMAGES_FOLDER, RECEIPT_FILE, LABELS_FILE):  # Complete once labels are there.
            (staged / name).replace(directory / name)
    return directory


def half_written_samples(home: Path) -> list[Path]:
    """Lists the folders in which samples were begun by processes that died."""
    return [folder for folder in home.glob(f"{_STAGING_PREFIX}*") if not _is_held(folder)]


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Shows others that the folder is in use; that ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _is_held(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it is gone by now, or another user's
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _check_arguments(genres: Sequence[str], images: int, seed: int) -> None:
    if isinstance(genres, str) or len(genres) < 2 or len(set(genres)) < len(genres):
        raise ConfigError(f"Expected two or more distinct genres. Received: {genres!r}")
    for genre in genres:
        if not genre or genre != genre.strip() or any(mark in genre for mark in "|\r\n"):
            raise ConfigError(
                "Expected genre names without '|', line breaks or outer spaces, as the labels "
                f"file separates genres by '|'. Received: {genre!r}"
            )
    if images < 1:
        raise ConfigError(f"Expected at least 1 image. Received: images={images}")
    if seed < 0:
        raise ConfigError(f"Expected a seed of 0 or more. Received: seed={seed}")


def _is_written(directory: Path, receipt: dict[str, Any]) -> bool:
    """Whether the sample is there already; raises if something else is in the way."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return False
    try:
        found = json.loads((directory / RECEIPT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    present = sum(1 for _ in (directory / IMAGES_FOLDER).glob("*.jpg"))
    if found is None:
        received = "something else"
    elif found != receipt:
        received = f"a sample made with {found}"
    elif present == receipt["images"] and (directory / LABELS_FILE).is_file():
        return True
    else:
        received = f"an incomplete sample ({present} of {receipt['images']} images)"
    raise ConfigError(
        "Expected an absent or empty directory, or the sample that these arguments make. "
        f"Received: {received} at {directory}. Choose another directory, or remove this one."
    )


def _write_files(
    folder: Path,
    genres: Sequence[str],
    images: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    languages = [_language(index, len(genres), name) for index, name in enumerate(genres)]
    labels, sources = _plan(len(genres), images, seed)
    (folder / IMAGES_FOLDER).mkdir(parents=True)
    with (folder / LABELS_FILE).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["image", "genres"])
        for index in range(images):
            source, quality = sources.get(index, index), _QUALITY
            spoken = [languages[genre] for genre in labels[source]]
            cover = _draw_cover(Random(f"cover/{seed}/{source}"), spoken)
            if source != index:
                cover, quality = _reissue(Random(f"reissue/{seed}/{index}"), cover)
            name = f"{IMAGES_FOLDER}/{index:05d}.jpg"
            cover.save(folder / name, quality=quality)
            rows.writerow([name, "|".join(genres[genre] for genre in labels[source])])
            if progress is not None:
                progress(index + 1, images)


def _plan(count: int, images: int, seed: int) -> tuple[list[list[int]], dict[int, int]]:
    """Draws every cover's genres, and which covers re-issue which earlier one."""
    random = Random(f"plan/{seed}")
    labels: list[list[int]] = []
    deck: list[int] = []
    for _ in range(images):
        deck = deck or random.sample(range(count), count)  # Dealt in turn: equally frequent.
        first = deck.pop()
        size = random.choices([*_GENRES_PER_COVER], [*_GENRES_PER_COVER.values()])[0]
        others = [genre for genre in range(count) if genre != first]
        labels.append(sorted([first, *random.sample(others, min(size, count) - 1)]))
    copies = set(random.sample(range(1, images), images // _COVERS_PER_REISSUE))
    originals = [index for index in range(images) if index not in copies]
    sources = {copy: random.choice([o for o in originals if o < copy]) for copy in sorted(copies)}
    return labels, sources


def _language(index: int, count: int, name: str) -> _Language:
    """Derives a genre's habits: the index keeps genres apart, the name adds character."""
    random = Random(f"language/{name}")
    weights = {}
    for cue, (first, second, names) in _CUES.items():
        kinds = names.split()
        weights[cue] = dict.fromkeys(kinds, 1.0)
        weights[cue][kinds[index % len(kinds)]] += first
        weights[cue][kinds[(index + 1 + index // len(kinds)) % len(kinds)]] += second
    place = (index + random.uniform(-0.2, 0.2)) / count
    return _Language(
        hues=(place, place + random.uniform(0.25, 0.4)),
        saturation=0.35 + 0.4 * (index * 0.618 % 1),
        lightness=0.3 + 0.4 * (index * 0.414 % 1),
        pitch=0.75 + 0.6 * (index * 0.732 % 1),
        slant=math.pi * place,
        weights=weights,
    )


def _draw_cover(random: Random, languages: Sequence[_Language]) -> Image.Image:
    from PIL import Image, ImageDraw

    colours = _palette(random, languages)
    cover = _ground(random, colours, languages).resize((_DRAWN, _DRAWN), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(cover)
    style = random.choice(languages).pick(random, "style")
    motifs = [language.pick(random, "motif") for language in languages]
    turn = random.uniform(0, math.tau)
    for number, (x, y, size) in enumerate(_spots(random, random.choice(languages))):
        turn += random.gauss(0, 0.25)
        span = cmath.rect(size * _DRAWN, turn)
        marks = [span * point for point in _outline(random, motifs[number % len(motifs)])]
        _stamp(draw, complex(x, y) * _DRAWN, marks, style, random.choice(colours[2:]))
    _frame(draw, random, random.choice(languages), random.choice(colours))
    _letter(cover, random, random.choice(languages), colours)
    return _print(random, cover.reduce(2))


def _palette(random: Random, languages: Sequence[_Language]) -> list[Colour]:
    """Draws two ground colours and three of ink, set apart from the ground in lightness."""
    shift = random.random() if random.random() < 0.35 else random.gauss(0, 0.05)
    dark = random.random() < 0.5
    colours = []
    for number in range(5):
        language = languages[number % len(languages)]
        hue = random.choice(language.hues) + shift + random.gauss(0, 0.03)
        saturation = min(max(random.gauss(language.saturation, 0.2), 0.0), 1.0)
        level = 0.28 if dark == (number < 2) else 0.72
        level = min(max(random.gauss(level + 0.3 * (language.lightness - 0.5), 0.08), 0.08), 0.94)
        red, green, blue = colorsys.hls_to_rgb(hue % 1, level, saturation)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def _cloud(random: Random, cells: int) -> np.ndarray:
    """A smooth random field over the cover, about -1 to 1, with that many cells a side."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(random.getrandbits(64)).uniform(-1, 1, (cells, cells))
    field = Image.fromarray(noise.astype(np.float32))
    return np.asarray(field.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC))


def _ground(
    random: Random, colours: Sequence[Colour], languages: Sequence[_Language]
) -> Image.Image:
    """Blends two colours by a soft light, and prints each genre's texture on its part of them."""
    import numpy as np

    light = 0.5 + 0.5 * _cloud(random, random.randint(3, 6))
    first, second = (np.array(colour, np.float32)[:, None, None] for colour in colours[:2])
    texture = _texture(random, languages[0])
    for language in languages[1:]:
        texture = np.where(_cloud(random, 3) > 0, texture, _texture(random, language))
    wear = np.clip(0.9 + 0.8 * _cloud(random, 3), 0.4, 1)
    shade = 38 * _cloud(random, random.randint(3, 5)) + random.uniform(36, 78) * wear * texture
    return _image(first + (second - first) * light + shade)


def _image(planes: np.ndarray) -> Image.Image:
    """An image from colour planes, which numpy adds to faster than to interleaved pixels."""
    import numpy as np
    from PIL import Image

    pixels = np.clip(planes, 0, 255, out=planes).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _texture(random: Random, language: _Language) -> np.ndarray:
    """A texture in a genre's manner as a field over the cover, about -1 to 1."""
    import numpy as np

    kind = language.pick(random, "texture")
    period = random.uniform(15, 25) * language.pitch
    if kind == "blotches":
        return np.tanh(5 * _cloud(random, round(_SIZE / period)))
    if kind == "grain":
        return 1.2 * _cloud(random, round(3 * _SIZE / period))
    axis = np.arange(_SIZE, dtype=np.float32)
    x, y = axis[None, :] - random.uniform(0, _SIZE), axis[:, None] - random.uniform(0, _SIZE)
    if kind == "rings":
        return np.sin(np.hypot(x, y) * (math.tau / period))
    if kind == "rays":
        return np.sin(np.arctan2(y, x) * random.randint(14, 30))
    across = cmath.rect(math.tau / period, language.slant + random.gauss(0, 0.35))
    u, v = x * across.real + y * across.imag, y * across.real - x * across.imag
    if kind == "stripes":
        return np.sin(u)
    if kind == "dots":
        return 0.5 + 0.9 * np.tanh(3 * (np.cos(u) + np.cos(v) - 0.9))
    if kind == "bricks":
        courses = math.pi * np.round((u - math.pi / 2) / math.tau)
        joints = np.maximum(np.sin(u) - 0.8, np.sin(v / 2 + courses) - 0.92)
        return -0.4 - 0.8 * np.tanh(8 * joints)
    return np.tanh(4 * np.sin(u / 1.5) * np.sin(v / 1.5))


def _spots(random: Random, language: _Language) -> list[tuple[float, float, float]]:
    """Places motifs: centre and radius of each, in parts of the cover's side."""
    spread, count = random.uniform, random.randint(4, 9)
    layout = language.pick(random, "layout")
    if layout == "hero":
        big = (spread(0.3, 0.7), spread(0.3, 0.7), spread(0.2, 0.34))
        return [big] + [(spread(0, 1), spread(0, 1), spread(0.04, 0.1)) for _ in range(6)]
    if layout == "scatter":
        return [(spread(0, 1), spread(0, 1), spread(0.05, 0.14)) for _ in range(2 * count)]
    if layout == "grid":
        side = random.randint(3, 5)
        cells = [(column + 0.5, row + 0.5) for row in range(side) for column in range(side)]
        kept = random.sample(cells, max(4, round(len(cells) * spread(0.5, 0.95))))
        return [(x / side, y / side, spread(0.3, 0.45) / side) for x, y in kept]
    if layout == "row":
        left, middle, slope = spread(0, 0.2), spread(0.2, 0.8), spread(-0.6, 0.6)
        steps = [number / (count - 1) for number in range(count)]
        return [(left + 0.8 * s, middle + slope * (s - 0.5), spread(0.06, 0.15)) for s in steps]
    hub, radius = complex(spread(0.35, 0.65), spread(0.35, 0.65)), spread(0.22, 0.4)
    rim = [hub + cmath.rect(radius, math.tau * number / count) for number in range(count)]
    return [(point.real, point.imag, spread(0.08, 0.13)) for point in rim]


def _outline(random: Random, motif: str) -> list[complex]:
    """A motif's outline around the origin, of radius about one."""
    if motif == "bar":
        corner = complex(1, random.uniform(0.12, 0.3))
        return [corner, -corner.conjugate(), -corner, corner.conjugate()]
    if motif == "bolt":
        return [-0.2 - 1j, 0.5 - 1j, 0.1 - 0.2j, 0.6 - 0.2j, -0.4 + 1j, -0.1 + 0.1j, -0.6 + 0.1j]
    if motif == "cross":
        return [
            point * 1j**arm for arm in range(4) for point in (1 - 0.25j, 1 + 0.25j, 0.25 + 0.25j)
        ]
    steps = {"triangle": 3, "burst": 2 * random.randint(7, 12)}.get(motif, 48)
    arc = math.pi if motif == "half" else math.tau
    lobes, depth, swell = random.randint(4, 6), 0.0, 0.0
    if motif == "flower":
        depth = 0.3
    elif motif == "burst":
        lobes, depth = steps // 2, 0.25
    elif motif == "blob":
        lobes, depth, swell = random.randint(2, 3), 0.2, random.uniform(-0.6, 0.6)
    turns = [arc * number / steps for number in range(steps)]
    bumps = [math.cos(lobes * t) + swell * math.sin((lobes + 1) * t) for t in turns]
    return [cmath.rect(1 + depth * (bump - 1), t) for t, bump in zip(turns, bumps, strict=True)]


def _stamp(
    draw: ImageDraw.ImageDraw, centre: complex, marks: list[complex], style: str, colour: Colour
) -> None:
    for scale in (1.0, 0.68, 0.36) if style == "nested" else (1.0,):
        points = [(p.real, p.imag) for p in (centre + scale * mark for mark in marks)]
        if style == "solid":
            draw.polygon(points, fill=colour)
        else:
            joint = None if len(points) > 24 else "curve"  # Needed, and slow, at sharp corners.
            draw.line([*points, *points[:2]], fill=colour, width=10, joint=joint)


def _frame(draw: ImageDraw.ImageDraw, random: Random, language: _Language, colour: Colour) -> None:
    kind, edge = language.pick(random, "frame"), random.randint(12, 44)
    start = random.randint(30, _DRAWN - 3 * edge)
    if kind == "frame":
        draw.rectangle((0, 0, _DRAWN - 1, _DRAWN - 1), outline=colour, width=edge)
    elif kind == "band":
        draw.rectangle((0, start, _DRAWN, start + 3 * edge), fill=colour)
    elif kind == "side":
        left = 0 if start % 2 else _DRAWN - 3 * edge
        draw.rectangle((left, 0, left + 3 * edge, _DRAWN), fill=colour)
    elif kind == "inset":
        draw.rectangle((edge, edge, _DRAWN - edge, _DRAWN - edge), outline=colour, width=6)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _letter(
    cover: Image.Image, random: Random, language: _Language, colours: Sequence[Colour]
) -> None:
    """Sets an artist and a title in invented words, legible on what lies behind them."""
    from PIL import Image, ImageDraw, ImageStat

    words = ["".join(random.choices(_SYLLABLES, k=random.randint(2, 3))) for _ in range(4)]
    case = random.choice((str.upper, str.title, str.lower))
    artist, title = case(" ".join(words[: random.randint(1, 2)])), case(" ".join(words[2:]))
    margin, large = random.randint(16, 90), random.choice((48, 60, 72, 84))
    sheet = Image.new("L", (_DRAWN, 150))
    for text, size, top in ((artist, large, 10), (title, 32, 104)):
        fit = min(1, (_DRAWN - margin - 20) / _font(size).getlength(text))
        font = _font(int(size * fit) // 4 * 4)
        ImageDraw.Draw(sheet).text((margin, top), text, fill=255, font=font)
    kind = language.pick(random, "type")
    corner = (0, {"top": 16, "bottom": 434}.get(kind, random.randint(160, 290)))
    if kind == "spine":
        sheet, corner = sheet.transpose(Image.Transpose.ROTATE_90), (random.choice((10, 440)), 0)
    box = (*corner, corner[0] + sheet.width, corner[1] + sheet.height)
    behind = ImageStat.Stat(cover.crop(box).convert("L")).mean[0]
    plain = (22, 20, 24) if behind > 115 else (246, 243, 236)
    ink = max(colours, key=lambda c: abs(sum(c) / 3 - behind)) if random.random() < 0.5 else plain
    cover.paste(ink, corner, sheet)


def _print(random: Random, cover: Image.Image) -> Image.Image:
    """Varies exposure, contrast and colour cast, and adds paper grain, as scans do."""
    import numpy as np

    contrast, exposure = random.uniform(0.65, 1.15), random.gauss(0, 18)
    cast = np.array([random.gauss(exposure, 6) for _ in range(3)], np.float32)
    noise = np.random.default_rng(random.getrandbits(64))
    grain = noise.standard_normal((_SIZE, _SIZE), dtype=np.float32) * random.uniform(0.5, 5)
    planes = np.asarray(cover).transpose(2, 0, 1).astype(np.float32, order="C")
    return _image(planes * contrast + (128 * (1 - contrast) + cast)[:, None, None] + grain)


def _reissue(random: Random, cover: Image.Image) -> tuple[Image.Image, int]:
    """Regrades a cover, sometimes with a thin border, for another JPEG quality."""
    from PIL import ImageDraw, ImageEnhance

    cover = ImageEnhance.Brightness(cover).enhance(random.uniform(0.93, 1.07))
    cover = ImageEnhance.Color(cover).enhance(random.uniform(0.85, 1.15))
    if random.random() < 0.5:
        edge, shade = (0, 0, _SIZE - 1, _SIZE - 1), random.choice(("white", "black"))
        ImageDraw.Draw(cover).rectangle(edge, outline=shade, width=random.randint(1, 3))
    return cover, random.randint(62, 80)
