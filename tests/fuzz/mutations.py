"""Bytes made from good ones by what damaged and hostile files have: cuts, flips, splices."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"

_SECONDS = 20.0
_LONGEST_MESSAGE = 20_000
_NUMBERS = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80" + b"\0" * 3)


@contextlib.contextmanager
def only(*allowed: type[Exception]) -> Iterator[None]:
    """Fails if the block raises anything else, takes long, or says too much."""
    started = time.monotonic()
    try:
        yield
    except allowed as error:
        length = len(str(error))
    else:
        length = 0
    assert length < _LONGEST_MESSAGE
    assert time.monotonic() - started < _SECONDS


@st.composite
def mutated(
    draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes] = (), most: int = 6
) -> bytes:
    """Draws one of the seeds, changed in up to so many places; tokens are what splices insert."""
    content = bytearray(draw(st.sampled_from(seeds)))
    inserted = st.sampled_from([*tokens, *_NUMBERS]) | st.binary(min_size=1, max_size=8)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(("flip", "insert", "overwrite", "delete", "repeat", "cut")))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            content[at:at] = draw(inserted)
        elif kind == "overwrite":
            some = draw(inserted)
            content[at : at + len(some)] = some
        elif kind == "delete":
            del content[at : at + draw(st.integers(1, 64))]
        elif kind == "repeat":
            some = content[at : at + draw(st.integers(1, 64))]
            content[at:at] = some * draw(st.integers(1, 20))
        elif kind == "cut":
            del content[at:]
    return bytes(content)
