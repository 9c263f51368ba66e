"""Where the two dependency lines differ, each difference once, with its reason.

tfx-1.16 brings Python 3.10, TensorFlow 2.16, Keras 3.12, NumPy 1.26, protobuf 3.20, Beam 2.59
and kfp; tfx-1.21 brings Python 3.10 to 3.13, TensorFlow 2.21, Keras 3.15, NumPy 2, protobuf 6,
Beam 2.77 and kfp below Python 3.12 only. All other code is the same for both and checks no
version; docs/lines.md lists what it has to avoid for that.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

TFX_COMPLETES_TFMA = not metadata.version("tfx").startswith("1.16.")
"""Whether TFMA can be imported only after `tfx.components`.

TFMA 0.52 imports a module that tfx-bsl 1.21 lacks, and no longer has names such as `EvalConfig`;
the package `tfx.components` of TFX 1.21 supplies both when it is imported.
"""

LOCAL_BEAM_ARGS = (
    "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
    "--direct_running_mode=in_memory",
    "--sdk_container_image=none",
)
"""Arguments of a Beam pipeline on this machine.

The FnApiRunner is what `DirectRunner` stands for in Beam 2.59. In 2.77 the same name tries the
Prism runner first, a program that it downloads. The runner reads no container image, but TFX does:
without one it packs its own sources for each Beam node, for workers that do not exist, and leaves
42 MB in the temporary folder every time.
"""


def has_no_output_left(reason: str) -> bool:
    """Whether a layer rejected its input because nothing of it would be left.

    Keras 3.15 raises an error with this text; Keras 3.12 returns a side of 0 or less instead.

    Args:
        reason: the message of the layer's error.
    """
    return "output size would be" in reason


def input_options() -> tf.data.Options:
    """Returns the options of an input pipeline: deterministic, and not tuned while it runs.

    In TensorFlow 2.16 a finished iterator of a tuned pipeline waits for the tuning thread, up
    to a minute; 2.21 does not. Parallelism is stated where it is used instead.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return options
