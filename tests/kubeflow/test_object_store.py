"""Data and pushed models in an object store: an S3 on this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner

from components.contracts.pushed_models import find_baseline, push_model, pushed_versions
from components.contracts.signatures import ModelDescription, write_model_description
from components.cover_example_gen.fingerprint import fingerprint_data
from components.cover_example_gen.remote import local_data
from components.support.errors import ConfigError, DataError, DeploymentError
from components.support.file_systems import local_copy
from pipeline.cli import main
from pipeline.config import load_config
from tests.components.contracts.marked_models import check_marked_model, write_marked_model

GENRES = ("pop", "rock")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    (folder / "saved_model.pb").write_bytes(b"graph")
    write_model_description(folder, ModelDescription(GENRES, (0.5, 0.5), 48, "recipe-1", {}))
    return folder


@pytest.fixture(params=["local", "s3"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "serving")
    request.getfixturevalue("s3")
    return f"s3://bucket/{tmp_path.name}/serving"


def test_a_pushed_model_is_found_with_what_it_says_of_itself(model: Path, destination: str) -> None:
    assert list(pushed_versions(destination)) == []
    pushed = push_model(model, destination)
    (found,) = pushed_versions(destination)
    assert found == pushed
    assert found.location == f"{destination}/{found.version}"
    assert found.description.recipe == "recipe-1"
    with local_copy(found.location) as copy:
        names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert names - {"assets.extra/claim"} == {
        "saved_model.pb",
        "variables/variables.index",
        "assets.extra/covers.json",
    }


def test_two_pushes_within_a_second_are_two_versions(model: Path, destination: str) -> None:
    first, second = push_model(model, destination), push_model(model, destination)
    assert second.version > first.version
    assert [found.version for found in pushed_versions(destination)] == [
        second.version, first.version
    ]  # fmt: skip


def test_pushers_at_the_same_moment_get_versions_of_their_own(
    s3: dict[str, str], tmp_path: Path
) -> None:
    """And whoever polls the bucket sees a graph only where all that it needs is there."""
    destination = f"s3://bucket/{tmp_path.name}/serving"
    pushers, pushes = 3, 4
    for pusher in range(pushers):
        write_marked_model(tmp_path / str(pusher), pusher)

    def push(pusher: int) -> None:
        for number in range(pushes):
            push_model(tmp_path / str(pusher), destination, f"{destination}/{number + 1}")

    store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    whole = set()
    with ThreadPoolExecutor(pushers) as pool:
        pushing = [pool.submit(push, pusher) for pusher in range(pushers)]
        while not all(each.done() for each in pushing):
            for graph in store.glob(f"{destination}/*/saved_model.pb"):
                variables = store.find(f"{graph.rpartition('/')[0]}/variables", detail=True)
                assert {each["size"] for each in variables.values()} == {store.size(graph)}
                assert len(variables) == 9
                whole.add(graph)
    for each in pushing:
        each.result()
    assert whole
    versions = list(pushed_versions(destination))
    assert len(versions) == pushers * pushes
    for version in versions:
        with local_copy(version.location) as copy:
            check_marked_model(copy)


def test_the_baseline_is_the_newest_of_another_recipe(model: Path, destination: str) -> None:
    first = push_model(model, destination)
    write_model_description(model, ModelDescription(GENRES, (0.5, 0.5), 48, "recipe-2", {}))
    push_model(model, destination)
    assert find_baseline(destination, recipe="recipe-2", genres=GENRES) == first


def test_an_incomplete_version_is_passed_over(s3: dict[str, str], tmp_path: Path) -> None:
    destination = f"s3://bucket/{tmp_path.name}"
    fsspec.filesystem("s3").pipe(f"bucket/{tmp_path.name}/7/variables/variables.index", b"x")
    assert list(pushed_versions(destination)) == []


@pytest.fixture
def covers(s3: dict[str, str], tmp_path: Path, write_cover: Callable[..., Path]) -> str:
    write_cover(tmp_path / "covers" / "images" / "1.jpg", 1)
    (tmp_path / "covers" / "labels.csv").write_text("image,genres\nimages/1.jpg,rock\n")
    fsspec.filesystem("s3").put(
        f"{tmp_path}/covers/", f"bucket/{tmp_path.name}/covers/", recursive=True
    )
    return f"s3://bucket/{tmp_path.name}/covers"


def test_empty_objects_that_stand_for_folders_are_no_files(covers: str) -> None:
    store, path = fsspec.core.url_to_fs(covers)
    for folder in ("", "images/", "none/"):
        store.call_s3("put_object", Bucket="bucket", Key=f"{path[7:]}/{folder}", Body=b"")
    with local_data(covers) as local:
        assert (local / "images" / "1.jpg").is_file()
        assert sorted(path.name for path in local.iterdir()) == ["images", "labels.csv"]


@pytest.mark.parametrize("manifest", ["", "/labels.csv"])
def test_data_come_with_their_images(covers: str, manifest: str) -> None:
    with local_data(covers + manifest) as local:
        folder = local if local.is_dir() else local.parent
        assert (folder / "images" / "1.jpg").is_file()
        assert folder.name == "covers"
    assert not local.exists()


def test_the_fingerprint_follows_the_objects(covers: str) -> None:
    before = fingerprint_data(covers)
    assert fingerprint_data(f"{covers}/labels.csv") == before
    store, path = fsspec.core.url_to_fs(covers)
    store.pipe(f"{path}/images/1.jpg", b"another cover")
    assert fingerprint_data(covers) != before


@pytest.mark.slow
def test_a_local_run_takes_data_from_a_url(covers: str, tmp_path: Path) -> None:
    """One cover is too few to train on, but the run has read it."""
    arguments = ["run", "--data", covers, "--pipeline-root", str(tmp_path / "root")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 3, result.output
    assert f"pipeline 'sample' on {covers}" in result.output
    assert "1 rows = 1 ingested + 0 quarantined" in result.output
    missing = [*arguments[:2], f"{covers}/gone", *arguments[3:]]
    result = CliRunner().invoke(main, missing)
    assert (result.exit_code, f"{covers}/gone. Received: nothing there" in result.output) == (
        2,
        True,
    )


def test_init_takes_data_from_a_url(
    covers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store, path = fsspec.core.url_to_fs(covers)
    store.pipe(f"{path}/labels.csv", b"image,genres\n1,rock\n1,pop\n")
    result = CliRunner().invoke(main, ["init", f"{covers}/labels.csv"])
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "covers.yaml").data == f"{covers}/labels.csv"


def test_an_error_names_the_url_and_not_the_copy(covers: str) -> None:
    with pytest.raises(DataError, match=f"nothing in {covers}/images"), local_data(covers) as local:
        raise DataError(f"nothing in {local}/images")


@pytest.mark.parametrize("read", [fingerprint_data, lambda url: local_copy(url).__enter__()])
def test_a_url_with_nothing_there(s3: dict[str, str], read: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match=r"at s3://bucket/none\. Received: nothing there"):
        read("s3://bucket/none")


def test_a_store_that_cannot_be_reached(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        with pytest.raises(DeploymentError, match="Expected access to s3://bucket/serving"):
            push_model(model, "s3://bucket/serving")
    finally:
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_scheme_that_nothing_installed_opens() -> None:
    with pytest.raises(ConfigError, match="an s3:// or gs:// URL whose package is installed"):
        fingerprint_data("gopher://covers")
