"""What Kubernetes would refuse is refused when the pipeline is compiled, and nothing else is."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from components.support.errors import ConfigError
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.pod_checks import check_pod

_LONG = "a" * 64
_DIGEST = "sha256:" + "0" * 64

# How a value of each kind is given, and its place in the message.
_PLACES = {
    "image": [("image: {}", "image")],
    "own image": [("all_tasks: {{image: {}}}", "all_tasks.image")],
    "object": [
        ("image_pull_secrets: [{}]", "image_pull_secrets.0"),
        ("all_tasks: {{secrets_as_env: [{{name: {}, keys: {{A: b}}}}]}}", "name"),
        ("all_tasks: {{config_maps_as_env: [{{name: {}, keys: {{A: b}}}}]}}", "name"),
    ],
    "mount": [
        ("all_tasks: {{secrets: [{{name: {}, path: /a}}]}}", "all_tasks.secrets.0.name"),
        ("all_tasks: {{config_maps: [{{name: {}, path: /a}}]}}", "all_tasks.config_maps.0.name"),
        ("tasks: {{Trainer: {{volumes: [{{name: {}, path: /a}}]}}}}", "Trainer.volumes.0.name"),
    ],
    "path": [
        ("all_tasks: {{secrets: [{{name: a, path: {}}}]}}", "all_tasks.secrets.0.path"),
        ("all_tasks: {{volumes: [{{name: a, path: {}}}]}}", "all_tasks.volumes.0.path"),
    ],
    "variable": [
        ("all_tasks: {{env: {{{}: '1'}}}}", "all_tasks.env."),
        ("all_tasks: {{secrets_as_env: [{{name: a, keys: {{{}: b}}}}]}}", "keys."),
        ("tasks: {{Pusher: {{config_maps_as_env: [{{name: a, keys: {{{}: b}}}}]}}}}", "keys."),
    ],
    "data key": [("all_tasks: {{secrets_as_env: [{{name: a, keys: {{A: {}}}}}]}}", "keys.A")],
    "label key": [
        ("all_tasks: {{labels: {{{}: b}}}}", "all_tasks.labels."),
        ("all_tasks: {{node_selector: {{{}: b}}}}", "all_tasks.node_selector."),
        ("all_tasks: {{tolerations: [{{key: {}}}]}}", "tolerations.0.key"),
        (
            "all_tasks: {{node_affinity: [{{labels: [{{key: {}, operator: Exists}}]}}]}}",
            "node_affinity.0.labels.0.key",
        ),
    ],
    "annotation key": [("all_tasks: {{annotations: {{{}: b}}}}", "all_tasks.annotations.")],
    "label value": [
        ("all_tasks: {{labels: {{a: {}}}}}", "all_tasks.labels.a"),
        ("all_tasks: {{node_selector: {{a: {}}}}}", "all_tasks.node_selector.a"),
        ("all_tasks: {{tolerations: [{{key: a, value: {}}}]}}", "tolerations.0.value"),
        (
            "all_tasks: {{node_affinity: [{{labels: [{{key: a, values: [{}]}}]}}]}}",
            "labels.0.values.0",
        ),
    ],
    "resource": [("all_tasks: {{accelerator: {{type: {}}}}}", "all_tasks.accelerator.type")],
}

_IMAGES = (
    ["covers", "covers:test", "r/x:1", "localhost:5000/a/b_c__d--e.f:1.0-x", f"r.io/x@{_DIGEST}",
     f"r.io/x:1@{_DIGEST}", "R.io/x", "[::1]:5000/x:1"],
    ["r/x:1 bad image", " r/x:1", "r/x:", "r/X:1", "r//x", "/x", "r/x:a/b", "r/x@latest",
     "http:x//y", f"r/x:{'a' * 129}", "r/x-", "r/ä"],
)  # fmt: skip
_VALUES = {
    "image": _IMAGES,
    "own image": (_IMAGES[0], [*_IMAGES[1], ""]),
    "object": (["a", "my-secret", "a.b", "0", "a" * 253],
               ["", "My Secret", "Secret", "a_b", "-a", "a-", "a..b", "a" * 254, "ä", "a\n"]),
    "mount": (["a", "my-claim", "a" * 63], ["", "My Claim", "a.b", "a_b", "-a", _LONG]),
    "path": (["/a", "/a/b/", "/a.b"], ["", "a", "/", "//", "/a/..", "/a:b", "./a", "/a\tb"]),
    "variable": (["A", "_a1", "a.b", "a-b", ".a"], ["", "1 BAD=", "1A", "A=", "A B", "..a", "Ä"]),
    "data key": (["a", "tls.crt", "A_b-1"], ["", "a b", "a/b", "..", "..a", "a" * 254]),
    "label key": (["a", "A_b.c-1", "example.com/a", "a" * 63],
                  ["", "cost centre!", "a/", "/a", "A.com/a", "a/b/c", "-a", "a-", _LONG]),
    "annotation key": (["a", "sidecar.istio.io/inject", "Example.com/a"],
                       ["", "a b", "a/", "a/b/c"]),
    "label value": (["", "a", "A_b.c-1", "4711", "a" * 63],
                    ["cost centre!", "-a", "a-", "a/b", _LONG, "ä", "a\n"]),
    "resource": (["nvidia.com/gpu", "google.com/tpu", "nvidia.com/mig-1g.5gb"],
                 ["", "gpu", "nvidia gpu", "nvidia.com/", "nvidia.com/g pu"]),
}  # fmt: skip


def _cases(*, right: bool) -> list[tuple[str, str, str]]:
    return [
        (form, place, value)
        for kind, places in _PLACES.items()
        for form, place in places
        for value in _VALUES[kind][not right]
    ]


def _config(text: str) -> KubeflowConfig:
    return KubeflowConfig.from_fields(yaml.safe_load(text))


def _quoted(form: str, value: str) -> str:
    quoted = '"' + value.replace("\t", r"\t").replace("\n", r"\n") + '"'
    return form.format(f"? {quoted} " if "{{{}:" in form else quoted)


@pytest.mark.parametrize(("form", "place", "value"), _cases(right=True))
def test_what_kubernetes_takes_is_taken(form: str, place: str, value: str) -> None:
    given = yaml.safe_load(_quoted(form, value))
    assert KubeflowConfig.from_fields(given).model_dump(exclude_unset=True)


@pytest.mark.parametrize(("form", "place", "value"), _cases(right=False))
def test_what_kubernetes_refuses_is_refused(form: str, place: str, value: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        _config(_quoted(form, value))
    (line,) = str(refusal.value).splitlines()[1:]
    assert place in line
    assert re.search(r": Expected .* Received: '", line)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("security_context: {run_as_user: 0, run_as_non_root: true}", "another user than root"),
        ("security_context: {run_as_user: 2147483648}", "less than or equal to 2147483647"),
        ("tolerations: [{operator: Exists, value: a}]", "no value with Exists"),
        ("tolerations: [{effect: NoSchedule}]", "a key with Equal, or the operator Exists"),
        ("tolerations: [{key: a, effect: NoSchedule, seconds: 9}]", "with the effect NoExecute"),
        ("tolerations: [{key: a, seconds: 9}]", "Received: no effect"),
        ("node_affinity: [{labels: [{key: a, operator: Gt, values: [b]}]}]", "one whole number"),
        ("node_affinity: [{labels: [{key: a, operator: Lt, values: [1, 2]}]}]", "one whole number"),
        ("node_affinity: [{labels: []}]", "at least 1 item"),
        ("accelerator: {type: nvidia.com/mig-1g.5gb, count: 2}", "CUDA shows a process no more"),
    ],
)
@pytest.mark.parametrize("where", ["all_tasks: {{{}}}", "tasks: {{Trainer: {{{}}}}}"])
def test_options_that_contradict_each_other(task: str, expected: str, where: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        _config(where.format(task))


@pytest.mark.parametrize(
    "task",
    [
        "security_context: {run_as_user: 0}",
        "security_context: {run_as_user: 1000, run_as_non_root: true}",
        "tolerations: [{operator: Exists}, {key: a, value: b, effect: NoExecute, seconds: 9}]",
        "node_affinity: [{labels: [{key: a, operator: Gt, values: [1]}]}]",
        "accelerator: {type: nvidia.com/mig-1g.5gb, count: 1}",
        "accelerator: {type: nvidia.com/gpu, count: 2}",
        "{cpu: 1, cpu_limit: 1000m, memory: 1Gi, memory_limit: 1024Mi}",
        "{secrets: [{name: a, path: /a}], volumes: [{name: b, path: /a/b}], shared_memory: 1Gi}",
        "volumes: [{name: a, path: /a}, {name: a, path: /b}]",
    ],
)
def test_options_that_fit_together(task: str) -> None:
    given: dict[str, Any] = {"all_tasks": yaml.safe_load(task)}
    check_pod("Trainer", KubeflowConfig.from_fields(given).task("Trainer"))


@pytest.mark.parametrize("kind", ["secrets", "config_maps", "volumes"])
@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        ("{%s: [{name: a, path: /data/}]}", "both at /data"),
        ("{%s: [{name: a, path: /x/../data}]}", "both at /data"),
        ("{%s: [{name: a, path: /x}, {name: b, path: /x}]}", "both at /x"),
        ("{%s: [{name: a, path: /dev/shm}], shared_memory: 1Gi}", "both at /dev/shm"),
        ("{%s: [{name: shared-memory, path: /x}], shared_memory: 1Gi}", "both 'shared-memory'"),
        ("{%s: [{name: a, path: /s3}]}", "the back end's own folder"),
        ("{%s: [{name: a, path: /kfp-launcher}]}", "the back end's own folder"),
    ],
)
def test_mounts_in_each_other_s_place(kind: str, mine: str, expected: str) -> None:
    kubeflow = KubeflowConfig.from_fields(
        {
            "all_tasks": {"volumes": [{"name": "v", "path": "/data"}]},
            "tasks": {"Trainer": yaml.safe_load(mine % kind)},
        }
    )
    check_pod("Pusher", kubeflow.task("Pusher"))
    with pytest.raises(ConfigError, match="of Trainer.*" + expected):
        check_pod("Trainer", kubeflow.task("Trainer"))


def test_a_secret_and_a_claim_of_one_name() -> None:
    task = "{secrets: [{name: a, path: /a}], volumes: [{name: a, path: /b}]}"
    with pytest.raises(ConfigError, match="Received: Secret and claim, both 'a'"):
        check_pod("Trainer", _config(f"all_tasks: {task}").task("Trainer"))


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_a_limit_below_what_is_requested(resource: str) -> None:
    kubeflow = _config(
        f"{{all_tasks: {{{resource}: 4G}}, tasks: {{Trainer: {{{resource}_limit: 1G}}}}}}"
    )
    check_pod("Pusher", kubeflow.task("Pusher"))
    with pytest.raises(
        ConfigError, match=f"{resource}_limit of Trainer .* at least {resource}, 4G"
    ):
        check_pod("Trainer", kubeflow.task("Trainer"))


def test_an_image_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refusal:
        _config("image: https://me:hunter2@r.io/x:1")
    assert "hunter2" not in str(refusal.value)
