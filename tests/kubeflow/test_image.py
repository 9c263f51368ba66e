"""The Dockerfile and the locks that it installs, as far as can be told without building it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from make_targets import dry_run

ROOT = Path(__file__).parents[2]


def _locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([^ \\]+)", text, re.MULTILINE))


def test_the_libraries_of_the_gpu_are_those_of_the_images_tensorflow() -> None:
    image, cuda = _locked("tfx-1.21-image.txt"), _locked("cuda.txt")
    shared = image.keys() & cuda.keys()
    assert "tensorflow" in shared
    assert {name: image[name] for name in shared} == {name: cuda[name] for name in shared}
    added = cuda.keys() - shared
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-nccl-cu12"} <= added
    assert {name for name in added if not name.startswith("nvidia-")} == set()


def test_what_the_dockerfile_copies_is_sent_to_the_build() -> None:
    ignored, *sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored == "*"
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }
    assert {"setup.py", "components", "requirements/cuda.txt"} <= copied
    assert {f"!{source}" for source in copied} <= set(sent)
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize(("given", "value"), [([], ""), (["WITH_CUDA=1"], "1")])
def test_make_image_adds_what_a_gpu_needs_only_if_asked(given: list[str], value: str) -> None:
    commands = dry_run("image", "ENGINE=podman", "IMAGE=covers:test", *given)
    expected = f"podman build --build-arg BASE=debian:13-slim --build-arg WITH_CUDA={value} "
    assert any(expected in command for command in commands)
    assert 'RUN [ -z "$WITH_CUDA" ] || ' in (ROOT / "Dockerfile").read_text(encoding="utf-8")
