"""How long it takes until the first node runs, and how long a run takes that runs none.

    python benchmarks/startup.py [--config sample] [--data DATA] [--rounds 3]

Each number is the wall time of a fresh process, from its start on, the median over the rounds; on a
busy machine compare the ratios. The first run is ended when its Prepare is done; of what is cached
there has been a whole run before. Targets: Prepare 0.4 of `from tfx import v1`, a fully cached run
its imports and 3 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PREPARED = "Prepare"
LARGEST_SHARE = 0.4
MOST_SECONDS = 3.0
TFX = "from tfx import v1"
IMPORTS = """
from pipeline.cli import main
import pipeline.runner.local_run
from pipeline.runner.deferred_imports import deferred_imports
with deferred_imports():
    import pipeline.pipeline, pipeline.runner.launching, pipeline.runner.history
"""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="sample")
    parser.add_argument("--data", type=Path, help="else 200 generated covers")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data or _sample(Path(scratch) / "covers")
        run = [sys.executable, "-m", "pipeline", "run", "--data", str(data)]
        run += ["--config", options.config, "--set", "trainer.epochs=3", "--pipeline-root"]
        cached = f"{scratch}/cached"
        subprocess.run([*run, cached], stdout=subprocess.DEVNULL)  # it need not be blessed
        rounds = [
            {
                TFX: _seconds([sys.executable, "-W", "ignore", "-c", TFX]),
                "Prepare, first run": _seconds_to_prepare([*run, f"{scratch}/{number}"]),
                "Prepare, cached run": _seconds_to_prepare([*run, cached]),
                "imports of a cached run": _seconds([sys.executable, "-c", IMPORTS]),
                "cached run": _seconds([*run, cached]),
            }
            for number in range(options.rounds)
        ]
    seconds = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    for name, value in seconds.items():
        print(f"{name:<26}{value:>8.1f} s{value / seconds[TFX]:>8.2f}")
    shares = [seconds[name] / seconds[TFX] for name in seconds if name.startswith(PREPARED)]
    more = seconds["cached run"] - seconds["imports of a cached run"]
    print(f"Prepare: {max(shares):.2f} of `{TFX}`, {_against(max(shares), LARGEST_SHARE)}")
    print(f"cached run: its imports and {more:.1f} s, {_against(more, MOST_SECONDS)}")


def _against(value: float, most: float) -> str:
    return f"{'within' if value <= most else 'MORE THAN'} the {most} allowed"


def _sample(folder: Path) -> Path:
    command = [sys.executable, "-m", "pipeline", "sample", str(folder), "--images", "200"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def _seconds(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def _seconds_to_prepare(command: Sequence[str]) -> float:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if PREPARED in line:
                seconds = time.perf_counter() - start
                process.kill()
                return seconds
    raise SystemExit("The run ended before its Prepare did. Run it by itself to see why.")


if __name__ == "__main__":
    main()
