"""Names that become names of Kubernetes objects, or that Kubeflow Pipelines makes one from.

The rules are those of kubeflow/pipelines' API server (pipeline_store_kubernetes.go,
pipeline_version_name.go, validation/length.go, template.go); those of Kubernetes are RFC 1123's.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import unicodedata

from components.support.errors import ConfigError
from components.support.texts import printable, shortened

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LONGEST_OBJECT = 253


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a name may be.

    Attributes:
        what: what it names.
        longest: most characters.
        dots: whether labels may be joined with dots: a subdomain of RFC 1123, not one label.
    """

    what: str
    longest: int
    dots: bool = True

    def check(self, name: str) -> str:
        """Returns the name.

        Raises:
            ConfigError: Kubernetes would refuse it; suggests one that it takes.
        """
        if self.allows(name):
            return name
        characters = "lower-case letters, digits, '-' and '.'" if self.dots else (
            "lower-case letters, digits and '-'"
        )  # fmt: skip
        allowed = self.like(name)
        raise ConfigError(
            f"Expected the name of {self.what} to be a name of Kubernetes: {characters}, beginning "
            f"and ending with a letter or a digit, at most {self.longest} characters. Received: "
            f"'{shortened(printable(name))}'." + (f" Use '{allowed}'." if allowed else "")
        )

    def allows(self, name: str) -> bool:
        """Returns whether Kubernetes takes the name."""
        pattern = rf"{_LABEL}(\.{_LABEL})*" if self.dots else _LABEL
        return len(name) <= self.longest and re.fullmatch(pattern, name) is not None

    def like(self, name: str) -> str:
        """Returns the allowed name that is most like `name`; empty if nothing of it is left."""
        letters = unicodedata.normalize("NFKD", name.casefold())
        plain = "".join(each for each in letters if not unicodedata.combining(each))
        labels = plain.split(".") if self.dots else [plain]
        words = (re.sub(r"[^a-z0-9]+", "-", label).strip("-") for label in labels)
        return ".".join(filter(None, words))[: self.longest].rstrip("-.")


PIPELINE = Rule("a pipeline", longest=128)
COMPILED_PIPELINE = Rule("a pipeline", longest=63, dots=False)
VERSION = Rule("a pipeline's version", longest=127)
NAMESPACE = Rule("a namespace", longest=63, dots=False)
SERVICE_ACCOUNT = Rule("a service account", longest=_LONGEST_OBJECT)


def check_version(pipeline: str, version: str) -> str:
    """Returns the name of a version, whose object is named PIPELINE-VERSION.

    Raises:
        ConfigError: Kubernetes would refuse one of the two names, or both together.
    """
    PIPELINE.check(pipeline)
    VERSION.check(version)
    together = f"{pipeline}-{version}"
    if len(together) > _LONGEST_OBJECT:
        raise ConfigError(
            f"Expected a pipeline and its version to have at most {_LONGEST_OBJECT - 1} characters "
            f"together, as '{shortened(together)}' names the version's object. Received: "
            f"{len(together) - 1}. Shorten one of them."
        )
    return version


def version_at(pipeline: str, moment: datetime.datetime) -> str:
    """Returns the name of the version that is uploaded at a moment.

    It holds the pipeline's name, as older back ends keep the versions of all pipelines of a
    namespace under their own names.
    """
    # Two uploads within a second need two names.
    suffix = f"-{moment:%Y%m%d-%H%M%S-%f}"
    return pipeline[: VERSION.longest - len(suffix)].rstrip("-.") + suffix


def check_schedule(name: str) -> str:
    """Returns the name of a schedule.

    It is shown as it is. The object's name is made of the letters, digits and hyphens in it, or
    is `job-` if there are none, and Kubernetes takes none that begins with a hyphen.

    Raises:
        ConfigError: it is blank, or no object could be named after it.
    """
    if name.strip() and not re.sub(r"[^a-z0-9-]+", "", name.lower()).startswith("-"):
        return name
    raise ConfigError(
        "Expected the name of a schedule to hold a letter or a digit before the first hyphen. "
        f"Received: '{shortened(printable(name))}'."
    )
