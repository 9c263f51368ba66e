"""Speed and memory of ingest, against plain scripts and stock TFX parts.

    python benchmarks/ingest.py DATA                    methods, on the covers in DATA
    python benchmarks/ingest.py DATA --decoders         decoders: speed, and damage they notice
    python benchmarks/ingest.py --scale 12500 100000    this ingest on that many synthetic covers

Every method runs in a process of its own, after all imports. `wall` is the least of the repeats,
`cpu` belongs to it; on a busy machine compare the ratios of `cpu`.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
METHODS = {
    "verify": "plain script, Image.verify() alone (misses truncated files)",
    "plain": "(a) plain script: one process, verify and load, TFRecordWriter",
    "stock": "(b) the same work with stock TFX parts (no near-duplicates)",
    "covers-1": "covers, all work, 1 thread",
    "covers-2": "covers, all work, 2 threads",
}
BATCH = 256


def main() -> None:
    """Prints the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="a CSV file or a folder of covers")
    parser.add_argument("--decoders", action="store_true", help="compare decoders")
    parser.add_argument("--scale", nargs="+", type=int, metavar="N", help="synthetic covers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.data)))
    elif options.scale:
        print_scale(options.scale)
    elif options.data is None:
        parser.error("give the covers, or --scale")
    elif options.decoders:
        print_decoders(options.data)
    else:
        print_methods(options.data, options.repeats)


def print_methods(data: Path, repeats: int) -> None:
    """Prints wall, CPU and memory of each method, and the ratio to the plain script."""
    # One repeat of all methods after the other: each meets the same neighbours on the machine.
    rounds = [{name: run_measure(name, data) for name in METHODS} for _ in range(repeats)]
    best = {name: min((r[name] for r in rounds), key=lambda m: m["wall"]) for name in METHODS}
    plain = best["plain"]
    print(f"{best['plain']['covers']} covers, best of {repeats}")
    print("| method | wall s | cpu s | wall / (a) | cpu / (a) | resident MB |")
    print("|---|---|---|---|---|---|")
    for name, m in best.items():
        ratios = f"{m['wall'] / plain['wall']:.2f} | {m['cpu'] / plain['cpu']:.2f}"
        print(f"| {METHODS[name]} | {m['wall']:.2f} | {m['cpu']:.2f} | {ratios} | {m['rss']:.0f} |")


def print_scale(counts: list[int]) -> None:
    """Prints time and memory for growing numbers of synthetic covers."""
    print("| covers | wall s | cpu s | cpu ms / cover | resident MB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        for count in sorted(counts):
            data = write_synthetic(Path(folder) / "covers", count)
            m = run_measure("covers-2", data)
            each = 1000 * m["cpu"] / count
            print(
                f"| {count:,} | {m['wall']:.1f} | {m['cpu']:.1f} | {each:.2f} | {m['rss']:.0f} |",
                flush=True,
            )


def print_decoders(data: Path) -> None:
    """Prints microseconds of each decoder, and what each notices of damaged files."""
    images = [encoded for _, encoded in read_all(data)][:2000]
    images = [encoded for encoded in images if encoded.startswith(b"\xff\xd8")]
    truncated = [encoded[: len(encoded) * 9 // 10] for encoded in images[:200]]
    flipped = [_with_flipped_byte(encoded, n) for n, encoded in enumerate(images[:200])]
    print(f"{len(images)} JPEG covers of {sum(map(len, images)) / len(images) / 1000:.1f} kB")
    print("| decoder | 1 thread us | 2 threads us | finds truncated | finds a wrong byte |")
    print("|---|---|---|---|---|")
    for name, decode in decoders():
        one, two = _clock(decode, images, 1), _clock(decode, images, 2)
        found = [sum(map(_refuses, [decode] * len(bad), bad)) for bad in (truncated, flipped)]
        print(f"| {name} | {one:.0f} | {two:.0f} | {found[0]} / 200 | {found[1]} / 200 |")


def decoders() -> Iterator[tuple[str, Callable[[bytes], Any]]]:
    """Yields the decoders that are installed."""
    import simplejpeg
    import tensorflow as tf
    from PIL import Image

    def draft(encoded: bytes) -> None:
        image = Image.open(io.BytesIO(encoded))
        image.draft("L", (64, 64))
        image.load()

    small = {"min_height": 64, "min_width": 64, "min_factor": 4, "strict": True}
    yield "Pillow verify()", lambda encoded: Image.open(io.BytesIO(encoded)).verify()
    yield "Pillow load()", lambda encoded: Image.open(io.BytesIO(encoded)).load()
    yield "Pillow draft mode, grey", draft
    yield "tf.io.decode_jpeg", lambda encoded: tf.io.decode_jpeg(encoded, channels=3)
    yield (
        "tf.io.decode_jpeg, ratio 4, grey",
        lambda encoded: tf.io.decode_jpeg(encoded, channels=1, ratio=4),
    )
    yield "simplejpeg, strict", lambda encoded: simplejpeg.decode_jpeg(encoded, strict=True)
    yield (
        "simplejpeg, strict, grey, 1/4 (chosen)",
        lambda encoded: simplejpeg.decode_jpeg(encoded, "GRAY", **small),
    )
    try:
        import cv2
        import numpy as np

        flags = cv2.IMREAD_REDUCED_GRAYSCALE_4

        def opencv(encoded: bytes) -> None:
            if cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) is None:
                raise ValueError("not decoded")

        yield "OpenCV, grey, 1/4", opencv
    except ImportError:
        pass
    try:
        from turbojpeg import TJPF_GRAY, TurboJPEG

        turbo = TurboJPEG()
        yield (
            "PyTurboJPEG, grey, 1/4",
            lambda encoded: turbo.decode(encoded, TJPF_GRAY, scaling_factor=(1, 4)),
        )
    except (ImportError, RuntimeError):  # it needs the shared library of the system
        pass


def run_measure(method: str, data: Path) -> dict[str, float]:
    """Measures one method in a process of its own."""
    command = [sys.executable, __file__, str(data), "--measure", method]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout.splitlines()[-1])


def measure(method: str, data: Path) -> dict[str, float]:
    """Runs one method and returns covers, wall and CPU seconds, and peak memory in MB."""
    run = prepare(method)
    gc.collect()  # what the imports left behind is not the method's work
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        covers = run(data, Path(folder))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"covers": covers, "wall": wall, "cpu": cpu, "rss": peak}


def prepare(method: str) -> Callable[[Path, Path], int]:
    """Imports everything that a method needs and returns it: (data, output) -> covers."""
    sys.path.insert(0, str(ROOT))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    warnings.simplefilter("ignore")
    if method.startswith("covers"):
        return _prepare_covers(int(method.rpartition("-")[2]))
    if method == "stock":
        return _prepare_stock()
    return _prepare_plain(load=method == "plain")


def read_all(data: Path) -> Iterator[tuple[Any, bytes]]:
    """Yields rows and the bytes of their files."""
    sys.path.insert(0, str(ROOT))
    from components.cover_example_gen.sources import find_source

    source = find_source(data)
    for row in source.rows():
        yield row, (source.directory / row.path).read_bytes()


def _prepare_plain(load: bool) -> Callable[[Path, Path], int]:
    import tensorflow as tf
    from PIL import Image

    def run(data: Path, output: Path) -> int:
        covers = 0
        with tf.io.TFRecordWriter(str(output / "covers.tfrecord")) as out:
            for row, encoded in read_all(data):
                Image.open(io.BytesIO(encoded)).verify()
                if load:
                    Image.open(io.BytesIO(encoded)).load()
                out.write(_plain_example(row, encoded).SerializeToString())
                covers += 1
        return covers

    return run


def _prepare_stock() -> Callable[[Path, Path], int]:
    import hashlib

    import apache_beam as beam
    import imagehash
    from PIL import Image
    from tfx.components.example_gen.write_split import WriteSplit

    from components.support.compat import LOCAL_BEAM_ARGS

    def check(row_and_file: tuple[Any, str]) -> tuple[str, Any]:
        row, file = row_and_file
        encoded = Path(file).read_bytes()
        Image.open(io.BytesIO(encoded)).verify()
        image = Image.open(io.BytesIO(encoded))
        image.load()
        imagehash.phash(image, hash_size=16)
        return hashlib.sha256(encoded).hexdigest(), _plain_example(row, encoded)

    def split(checked: tuple[str, Any], count: int) -> int:
        position = int(checked[0][:8], 16) / 2**32
        return 0 if position < 0.7 else 1 if position < 0.8 else count - 1

    def run(data: Path, output: Path) -> int:
        from components.cover_example_gen.sources import find_source

        source = find_source(data)
        rows = [(row, str(source.directory / row.path)) for row in source.rows()]
        with beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)) as pipeline:
            parts = (
                pipeline
                | beam.Create(rows)
                | beam.Reshuffle()
                | beam.Map(check)
                | beam.Partition(split, 3)
            )
            for name, part in zip(("train", "eval", "test"), parts, strict=True):
                folder = output / name
                folder.mkdir()
                values = part | f"Values_{name}" >> beam.Values()
                values | f"Write_{name}" >> WriteSplit(str(folder), "tfrecords_gzip")
        return len(rows)

    return run


def _prepare_covers(workers: int) -> Callable[[Path, Path], int]:
    from examples import ingest_covers

    from components.cover_example_gen.config import IngestConfig
    from pipeline.config import load_config

    schema = load_config("covers").schema_text()

    def run(data: Path, output: Path) -> int:
        return ingest_covers(data, output, schema, IngestConfig(workers=workers))

    return run


def _plain_example(row: Any, encoded: bytes) -> Any:
    import tensorflow as tf

    def blobs(values: list[bytes]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    label = [float(name in row.genres) for name in ("country", "electronic", "hiphop", "pop")]
    features = {
        "image/encoded": blobs([encoded]),
        "image/path": blobs([row.path.encode()]),
        "genres": blobs([name.encode() for name in row.genres]),
        "label": tf.train.Feature(float_list=tf.train.FloatList(value=label)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def write_synthetic(folder: Path, count: int) -> Path:
    """Adds distinct 300 x 300 JPEG covers of about 14 kB until there are `count`; the manifest."""
    genres = ("country", "electronic", "hiphop", "pop", "rock")
    batches = range(0, count, BATCH)
    folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(
            pool.map(lambda first: _write_batch(folder, first, min(first + BATCH, count)), batches)
        )
    lines = [f"{_synthetic_name(n)},{genres[n % 5]}" for n in range(count)]
    manifest = folder / "labels.csv"
    manifest.write_text("image,genres\n" + "\n".join(lines) + "\n")
    return manifest


def _synthetic_name(number: int) -> str:
    return f"{number // 1000:03d}/{number:06d}.jpg"


def _write_batch(folder: Path, first: int, last: int) -> None:
    import numpy as np
    import simplejpeg
    from PIL import Image

    for number in range(first, last):
        file = folder / _synthetic_name(number)
        if file.exists():
            continue
        file.parent.mkdir(exist_ok=True)
        random = np.random.default_rng(number)
        blocks = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(blocks).resize((300, 300), Image.Resampling.BICUBIC))
        noisy = image + random.integers(0, 24, (300, 300, 1), dtype=np.uint8) // 2
        file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(noisy), quality=60))


def _with_flipped_byte(encoded: bytes, seed: int) -> bytes:
    import random

    damaged = bytearray(encoded)
    generator = random.Random(seed)
    damaged[generator.randrange(len(encoded) // 10, len(encoded) - 2)] ^= generator.randrange(
        1, 256
    )
    return bytes(damaged)


def _refuses(decode: Callable[[bytes], Any], encoded: bytes) -> bool:
    try:
        decode(encoded)
    except Exception:
        return True
    return False


def _clock(decode: Callable[[bytes], Any], images: list[bytes], threads: int) -> float:
    decode(images[0])
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(lambda part: [decode(encoded) for encoded in part], _parts(images, 32)))
        return (time.perf_counter() - started) / len(images) * 1e6


def _parts(values: list[bytes], size: int) -> list[list[bytes]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


if __name__ == "__main__":
    main()
