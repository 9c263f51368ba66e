from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import pytest
from PIL import Image

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.images import (
    AcceptedImages,
    ImageFacts,
    inspect_image,
    inspect_images,
)

ACCEPTED = AcceptedImages(("JPEG", "PNG"), smallest_side=64, largest_side=10_000)


def _encode(image: Image.Image, image_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


def _inspect(encoded: bytes) -> ImageFacts:
    return inspect_image(encoded, ACCEPTED)


def test_states_the_facts_of_an_image(draw_cover: Callable[..., Image.Image]) -> None:
    encoded = _encode(draw_cover(1).resize((120, 90)), "PNG")
    facts = _inspect(encoded)
    assert facts.image_id == hashlib.sha256(encoded).hexdigest()
    assert (facts.format, facts.width, facts.height, facts.size) == ("PNG", 120, 90, len(encoded))
    assert len(facts.perceptual_hash) == 32
    assert facts.orientation == 1
    assert 0 < facts.brightness < 1


def test_images_together_have_the_facts_of_each(draw_cover: Callable[..., Image.Image]) -> None:
    images = [_encode(draw_cover(seed)) for seed in range(4)]
    images[1:1] = [b"", images[0][:900]]
    images.append(_encode(draw_cover(4).resize((300, 20))))
    found = inspect_images(images, ACCEPTED)
    refused = {
        index: each.reason for index, each in enumerate(found) if isinstance(each, RowRejected)
    }
    assert refused == {
        1: Reason.EMPTY_FILE,
        2: Reason.UNDECODABLE_IMAGE,
        6: Reason.IMAGE_SIZE_OUT_OF_RANGE,
    }
    accepted = [index for index in range(len(images)) if index not in refused]
    assert [found[index] for index in accepted] == [_inspect(images[index]) for index in accepted]


def test_no_image_has_no_facts() -> None:
    assert inspect_images([], ACCEPTED) == []


def test_rejects_with_a_reason(draw_cover: Callable[..., Image.Image]) -> None:
    whole = _encode(draw_cover(1))
    cases = {
        Reason.EMPTY_FILE: b"",
        Reason.NOT_AN_IMAGE: b"<html><body>404</body></html>",
        Reason.UNDECODABLE_IMAGE: whole[: len(whole) // 2],
        Reason.UNSUPPORTED_FORMAT: b"8BPS\0\1" + bytes(100),
        Reason.IMAGE_SIZE_OUT_OF_RANGE: _encode(draw_cover(1).resize((300, 20))),
    }
    for reason, encoded in cases.items():
        with pytest.raises(RowRejected, match=r"Expected .* Received") as caught:
            _inspect(encoded)
        assert caught.value.reason is reason


def test_an_enormous_image_is_refused_from_its_header() -> None:
    encoded = bytearray(_encode(Image.new("L", (64, 64)), "PNG"))
    encoded[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    encoded[29:33] = zlib.crc32(bytes(encoded[12:29])).to_bytes(4, "big")
    with pytest.raises(RowRejected, match=r"60000 x 60000|DecompressionBomb") as caught:
        _inspect(bytes(encoded))
    assert caught.value.reason in (Reason.IMAGE_SIZE_OUT_OF_RANGE, Reason.UNDECODABLE_IMAGE)
