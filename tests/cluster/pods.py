"""Containers as processes with a file system of their own.

The file system is this machine's, the checkout and its environment included, but /tmp, /run and the
folders that Kubeflow Pipelines mounts into every task are the container's own: the launcher stages
artifacts where it always does. Processes, network and users are not separated.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services import HOST, Objects

ROOT = Path(__file__).parent.parent.parent
LAUNCHER = "/kfp-launcher/launch"
SERVICE_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"

_OWN = ("gcs", "minio", "s3", "tmp", "run", "kfp-launcher")
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")

# Bind mounts need a mount namespace of their own, which ends with the process.
_ENTER = r"""
set -e
root=$1 checkout=$2
shift 2
for entry in /* "$checkout"; do
    [ -e "$root$entry" ] && [ "$entry" != "$checkout" ] && continue
    if [ -L "$entry" ]; then cp -d "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir -p "$root$entry"; mount --rbind "$entry" "$root$entry"
    fi
done
exec chroot "$root" "$@"
"""


@dataclasses.dataclass(frozen=True)
class Node:
    """What runs containers.

    Attributes:
        folder: for their file systems.
        programs: the folder with `driver` and `launcher-v2`.
        service_account: what is mounted as the service account.
        kubernetes_port: of the Kubernetes API.
        objects: ConfigMaps and Secrets that environments refer to.
    """

    folder: Path
    programs: Path
    service_account: Path
    kubernetes_port: int
    objects: Objects

    def run(
        self, name: str, command: Sequence[str], env: Mapping[str, str]
    ) -> tuple[int, str, Path]:
        """Runs a container; returns its exit code, its log, and the root of its file system."""
        root = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        for folder in _OWN:
            (root / folder).mkdir()
        (root / "tmp").chmod(0o1777)
        os.link(self.programs / "launcher-v2", root / LAUNCHER.lstrip("/"))
        os.link(self.programs / "driver", root / "kfp-launcher" / "driver")
        account = root / SERVICE_ACCOUNT.lstrip("/")
        account.mkdir(parents=True)
        for file in self.service_account.iterdir():
            (account / file.name).write_bytes(file.read_bytes())
        # A user who is not root is root in a user namespace, where the system allows one.
        unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        done = subprocess.run(
            [*unshare, "sh", "-c", _ENTER, "sh", str(root), str(ROOT), *command],
            env={**self._image_env(), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        return done.returncode, done.stdout, root

    def run_patched(self, name: str, patch: Mapping[str, Any]) -> tuple[int, str, Path]:
        """Runs the `main` container of a pod that is described by the driver's patch."""
        (main,) = [one for one in patch["containers"] if one["name"] == "main"]
        env = {"KFP_POD_NAME": name, "KFP_POD_UID": f"{name}-uid"}
        for one in main.get("env", ()):
            env[one["name"]] = self._value(one)
        words = [*main["command"], *main.get("args", ())]
        return self.run(name, [expand(word, env) for word in words], env)

    def _value(self, variable: Mapping[str, Any]) -> str:
        source = variable.get("valueFrom", {})
        if reference := source.get("secretKeyRef"):
            stored = self.objects["secrets", reference["name"]]["data"][reference["key"]]
            return base64.b64decode(stored).decode()
        if reference := source.get("configMapKeyRef"):
            return str(self.objects["configmaps", reference["name"]]["data"][reference["key"]])
        return str(variable.get("value", ""))

    def _image_env(self) -> dict[str, str]:
        """Returns what the image and Kubernetes set; nothing of this process's environment."""
        return {
            "PATH": f"{ROOT}/.venv/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": "/tmp",
            "KUBERNETES_SERVICE_HOST": HOST,
            "KUBERNETES_SERVICE_PORT": str(self.kubernetes_port),
        }


def expand(word: str, env: Mapping[str, str]) -> str:
    """Returns a word of a command with `$(NAME)` and `$$` replaced, as Kubernetes does."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else env.get(match[1], match[0])

    return _REFERENCE.sub(value, word)
