from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable

import pytest
from PIL import Image, ImageEnhance, ImageOps

from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.images import inspect_image
from components.cover_example_gen.near_duplicates import group_near_duplicates
from components.cover_example_gen.splits import assign_split

SHARES = {"train": 0.7, "eval": 0.1, "test": 0.2}


def _groups(images: list[Image.Image]) -> list[int]:
    facts = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        facts.append(
            inspect_image(buffer.getvalue(), formats=("JPEG",), smallest_side=1, largest_side=1000)
        )
    return group_near_duplicates(
        [fact.coarse_hash for fact in facts], [fact.fine_hash for fact in facts]
    ).tolist()


def test_re_issues_share_a_group_and_others_do_not(
    draw_cover: Callable[..., Image.Image],
) -> None:
    original = draw_cover(1, 300)
    re_issues = [
        original.resize((150, 150)),
        ImageEnhance.Brightness(original).enhance(1.2),
        ImageOps.expand(original, 4, "white"),
    ]
    groups = _groups([original, *re_issues, *(draw_cover(seed, 300) for seed in range(2, 40))])
    assert len(set(groups[:4])) == 1
    assert Counter(groups)[groups[0]] == 4
    assert len(set(groups)) == 39


def test_groups_are_transitive() -> None:
    far, step = b"\xff\xff" + b"\0" * 6, b"\xff\0" + b"\0" * 6
    fine = [bytes([value]) * 32 for value in (0, 0b01010101, 0b11110000)]
    coarse = [b"\0" * 8, step, far]
    assert len(set(group_near_duplicates(coarse, fine).tolist())) == 1
    assert len(set(group_near_duplicates(coarse[::2], fine[::2]).tolist())) == 2


def test_no_covers_have_no_groups() -> None:
    assert group_near_duplicates([], []).shape == (0,)


def test_splits_keep_their_shares_and_never_change() -> None:
    drawn = Counter(assign_split(f"group {i}", SHARES) for i in range(20_000))
    for split, share in SHARES.items():
        assert drawn[split] / 20_000 == pytest.approx(share, abs=0.01)
    assert assign_split("abc", SHARES) == assign_split("abc", dict(reversed(SHARES.items())))


@pytest.mark.parametrize("splits", [{"train": 1.0}, {"train": 0.5, "eval": 0.1, "test": 0.1}])
def test_shares_that_are_no_split_are_refused(splits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        IngestConfig(splits=splits)
