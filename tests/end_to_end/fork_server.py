"""Runs `covers` in forked processes, which need not import TensorFlow and TFX again.

Reads one JSON request per line and answers with one JSON line:
{"start": [arguments], "output": file, "environment": {variable: value}} -> {"pid": number};
{"wait": pid} -> {"code": exit code or minus signal}.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
from typing import NoReturn

_MODULES = (
    "tfx.v1",
    "tensorflow_model_analysis",
    "tensorflow_data_validation",
    "components.trainer.run",
    "components.batch_inference.inference",
    "components.cover_example_gen.ingest",
    "components.evaluator.component",
    "components.report_gen.build",
    "components.report_gen.component",
    "pipeline.pipeline",
    "pipeline.runner.local_run",
    "pipeline.commands.reports",
)


def _serve() -> None:
    for module in _MODULES:
        importlib.import_module(module)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                os.environ.update(request["environment"])
                _run(request["start"], request["output"])
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _run(arguments: list[str], output: str) -> NoReturn:
    os.setsid()
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # by what started the tests
        signal.signal(ignored, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None  # what the environment says may have changed
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    from pipeline.cli import main

    code = 1
    try:
        main(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
