"""`covers schedule` and `covers schedules` against a stub of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kfp_api import KfpApi, covers

from pipeline.cli import main
from pipeline.kubeflow import schedules

DATA = ("-p", "data=s3://bucket/covers", "-p", "push_destination=s3://bucket/serving")
NIGHTLY = ("--cron", "0 0 3 * * *")


def schedule(package_file: Path, *arguments: str) -> Result:
    result = covers("schedule", str(package_file), *DATA, *(arguments or NIGHTLY))
    assert result.exit_code == 0, result.output
    return result


def test_a_schedule_runs_the_version_that_was_uploaded(api: KfpApi, package_file: Path) -> None:
    result = schedule(package_file)
    assert "Schedule 'tiny', 0 0 3 * * *, running: http" in result.output
    sent = api.sent("/recurringruns")
    assert sent["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert sent["pipeline_version_reference"] == {
        "pipeline_id": "pipeline-1", "pipeline_version_id": "version-2"
    }  # fmt: skip
    assert sent["no_catchup"] is True
    assert sent["runtime_config"]["parameters"]["data"] == "s3://bucket/covers"


def test_a_schedule_by_an_interval(api: KfpApi, package_file: Path) -> None:
    assert "every 12 hours" in schedule(package_file, "--every", "12").output
    trigger = api.sent("/recurringruns")["trigger"]
    assert int(trigger["periodic_schedule"]["interval_second"]) == 12 * 3600


def test_the_same_schedule_again_leaves_one_that_runs_the_newer_version(
    api: KfpApi, package_file: Path
) -> None:
    schedule(package_file)
    (old,) = api.recurring_runs
    result = schedule(package_file, "--every", "6")
    (new,) = api.recurring_runs
    assert new["trigger"] != old["trigger"]
    assert new["status"] == "ENABLED"
    newest = api.versions[-1]["pipeline_version_id"]
    assert new["pipeline_version_reference"]["pipeline_version_id"] == newest
    assert f"It replaces {old['recurring_run_id']}, 0 0 3 * * *, running" in result.output


def test_at_no_moment_are_there_two_that_start_runs(api: KfpApi, package_file: Path) -> None:
    schedule(package_file)
    (old,) = api.recurring_runs
    before = len(api.changes())
    schedule(package_file)
    (new,) = api.recurring_runs
    named = [
        change.replace(old["recurring_run_id"], "OLD").replace(new["recurring_run_id"], "NEW")
        for change in api.changes()[before:]
        if "recurringruns" in change
    ]
    assert named == [
        "POST /recurringruns",
        "POST /recurringruns/OLD:disable",
        "POST /recurringruns/NEW:enable",
        "DELETE /recurringruns/OLD",
    ]
    assert api.sent("/recurringruns")["mode"] == "DISABLE"


def test_a_paused_schedule_is_replaced_by_a_paused_one(api: KfpApi, package_file: Path) -> None:
    schedule(package_file)
    assert covers("schedules", "pause", "tiny").exit_code == 0
    assert ", paused: " in schedule(package_file).output
    (new,) = api.recurring_runs
    assert new["status"] == "DISABLED"


def test_one_with_a_run_in_progress_is_left_paused_so_that_the_run_goes_on(
    api: KfpApi, package_file: Path
) -> None:
    schedule(package_file)
    (old,) = api.recurring_runs
    run = api.start_run_of(old)
    result = schedule(package_file)
    assert run["state"] == "RUNNING"
    assert old["status"] == "DISABLED"
    assert f"run {run['run_id']} is in progress" in result.output
    assert [one["status"] for one in api.recurring_runs] == ["DISABLED", "ENABLED"]


def test_a_name_that_belongs_to_another_pipeline_is_refused(
    api: KfpApi, package_file: Path
) -> None:
    schedule(package_file)
    (one,) = api.recurring_runs
    one["pipeline_version_reference"]["pipeline_id"] = "pipeline-of-others"
    result = covers("schedule", str(package_file), *DATA, *NIGHTLY)
    assert result.exit_code == 2
    assert "Received: a schedule of another pipeline" in result.output
    assert api.recurring_runs == [one]


def test_schedules_are_listed_paused_resumed_and_deleted(api: KfpApi, package_file: Path) -> None:
    assert covers("schedules", "list").output == "There are no schedules.\n"
    for name in ("nightly", "weekly", "monthly"):  # more than a page of the API
        schedule(package_file, *NIGHTLY, "--name", name)
    listed = covers("schedules", "list").output.splitlines()
    assert [line.split()[0] for line in listed] == ["monthly", "nightly", "weekly"]
    assert covers("schedules").output.splitlines() == listed
    assert "is paused" in covers("schedules", "pause", "weekly").output
    assert api.schedule("weekly")["status"] == "DISABLED"
    states = {
        one["name"]: one["state"]
        for one in json.loads(covers("schedules", "list", "--json").output)
    }
    assert states == {"nightly": "running", "weekly": "paused", "monthly": "running"}
    assert "is running" in covers("schedules", "resume", "weekly").output
    assert "is deleted" in covers("schedules", "delete", "nightly").output
    assert [one["display_name"] for one in api.recurring_runs] == ["weekly", "monthly"]


def test_a_schedule_with_a_run_in_progress_is_deleted_only_if_told_so(
    api: KfpApi, package_file: Path
) -> None:
    schedule(package_file)
    run = api.start_run_of(api.schedule("tiny"))
    refused = covers("schedules", "delete", "tiny")
    assert refused.exit_code == 1
    assert run["run_id"] in refused.output
    assert "--with-runs" in refused.output
    assert covers("schedules", "delete", "tiny", "--with-runs").exit_code == 0
    assert api.recurring_runs == []


def test_a_schedule_that_is_not_there_and_a_name_that_several_have(
    api: KfpApi, package_file: Path
) -> None:
    schedule(package_file, *NIGHTLY, "--name", "nightly")
    missing = covers("schedules", "pause", "nightl")
    assert missing.exit_code == 1
    assert "schedules named nightly" in " ".join(missing.output.split())
    api.recurring_runs.append({**api.recurring_runs[0], "recurring_run_id": "second"})
    several = covers("schedules", "pause", "nightly")
    assert several.exit_code == 2
    assert "second" in several.output
    assert "is paused" in covers("schedules", "pause", "second").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*NIGHTLY, "--every", "1"), "one of --cron and --every"),
        (("--cron", "0 3 * * *"), "six fields"),
        (("--every", "0"), "at least a minute"),
        (("--every", "nan"), "Expected --every to be hours"),
        (("--every", "-inf"), "Expected --every to be hours"),
        (("--every", "1e12"), "Expected --every to be hours"),
        ((*NIGHTLY, "--max-concurrency", "11"), "--max-concurrency to be 1 to 10"),
        ((*NIGHTLY, "--name", "-"), "Expected the name of a schedule"),
    ],
)
def test_a_wrong_schedule_is_refused_before_anything_is_sent(
    api: KfpApi, package_file: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = covers("schedule", str(package_file), *DATA, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert api.changes() == []


def test_an_exchange_that_fails_half_way_is_undone(api: KfpApi, package_file: Path) -> None:
    schedule(package_file)
    (old,) = api.recurring_runs
    switch = api._switch

    def failing(request: object, identity: str, change: str) -> object:
        if change == "enable" and identity != old["recurring_run_id"]:
            raise AssertionError
        return switch(request, identity, change)  # type: ignore[arg-type]

    api._switch = failing  # type: ignore[method-assign, assignment]
    result = covers("schedule", str(package_file), *DATA, *NIGHTLY)
    assert result.exit_code == 1
    assert api.recurring_runs == [old]
    assert old["status"] == "ENABLED"


@pytest.mark.parametrize("ended_by", [KeyboardInterrupt, RuntimeError])
def test_an_exchange_that_is_interrupted_is_undone(
    api: KfpApi, package_file: Path, monkeypatch: pytest.MonkeyPatch, ended_by: type[BaseException]
) -> None:
    schedule(package_file)
    (old,) = api.recurring_runs
    switch = schedules._switch

    def interrupted(api: object, one: schedules.Schedule, before: str, after: str) -> object:
        if after == schedules.RUNNING:
            raise ended_by
        return switch(api, one, before, after)  # type: ignore[arg-type]

    monkeypatch.setattr(schedules, "_switch", interrupted)
    CliRunner().invoke(main, ["schedule", str(package_file), *DATA, *NIGHTLY])
    assert api.recurring_runs == [old]
    assert old["status"] == "ENABLED"


def test_an_exchange_that_cannot_be_undone_says_what_is_paused(
    api: KfpApi, package_file: Path
) -> None:
    schedule(package_file)
    (old,) = api.recurring_runs
    switch = api._switch

    def gone(request: Any, identity: str, change: str) -> Any:
        answer = switch(request, identity, change)
        api.always = (503, "no healthy upstream")
        return answer

    api._switch = gone  # type: ignore[method-assign]
    result = covers("schedule", str(package_file), *DATA, *NIGHTLY)
    assert result.exit_code == 1
    assert f"covers schedules resume {old['recurring_run_id']}" in " ".join(result.output.split())
