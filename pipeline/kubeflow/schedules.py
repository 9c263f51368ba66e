"""Schedules: what Kubeflow Pipelines calls recurring runs, each known here by its name.

The back end lets many have one name. Two of them would both push, so a new one takes the place of
those of its name that run the same pipeline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from components.support.errors import ConfigError, DeploymentError
from components.support.suggestions import did_you_mean
from pipeline.kubeflow.connection import Api
from pipeline.kubeflow.names import check_schedule
from pipeline.kubeflow.submit import RunOptions

RUNNING = "running"
PAUSED = "paused"

_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_MOST_CONCURRENT = 10
_SECONDS_PER_HOUR = 3600


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A recurring run.

    Attributes:
        id: given by the back end.
        name: given by people; not unique.
        state: `running` or `paused`.
        when: six cron fields, or `every N hours`.
        pipeline_id: of the pipeline; empty if it has none.
        version_id: of the version; empty if each run takes the newest.
        created: when it was, in ISO 8601; empty if unknown.
        catches_up: whether every run that was missed is made up for, not only the latest.
    """

    id: str
    name: str
    state: str
    when: str
    pipeline_id: str
    version_id: str
    created: str
    catches_up: bool

    @classmethod
    def from_api(cls, recurring_run: Any) -> Schedule:
        """Reads what kfp's client returns."""
        source = recurring_run.pipeline_version_reference
        created = recurring_run.created_at
        return cls(
            id=str(recurring_run.recurring_run_id),
            name=str(recurring_run.display_name),
            state=RUNNING if recurring_run.status == "ENABLED" else PAUSED,
            when=_when(recurring_run.trigger),
            pipeline_id=str((source and source.pipeline_id) or ""),
            version_id=str((source and source.pipeline_version_id) or ""),
            created=created.isoformat() if created else "",
            catches_up=not recurring_run.no_catchup,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns it, ready for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Timing:
    """When runs start.

    Attributes:
        cron: six fields, seconds first; or None.
        interval: time between the starts; or None.
        max_concurrency: most runs at the same time.
        catch_up: make up for all runs that were due while the schedule was off.

    Raises:
        ConfigError: both or neither of `cron` and `interval` are given, or a value is wrong.
    """

    cron: str | None
    interval: datetime.timedelta | None
    max_concurrency: int = 1
    catch_up: bool = False

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.interval is None):
            raise ConfigError("Expected one of --cron and --every. Received: both or neither.")
        if self.cron is not None and len(self.cron.split()) != 6 and not self.cron.startswith("@"):
            raise ConfigError(
                "Expected --cron to have six fields, seconds first, such as '0 0 3 * * *' for "
                f"daily at 3:00. Received: {self.cron!r}."
            )
        if self.interval is not None and self.interval < datetime.timedelta(minutes=1):
            raise ConfigError(
                f"Expected at least a minute between the starts. Received: {self.interval}."
            )
        if not 1 <= self.max_concurrency <= _MOST_CONCURRENT:
            raise ConfigError(
                f"Expected --max-concurrency to be 1 to {_MOST_CONCURRENT}. Received: "
                f"{self.max_concurrency}."
            )


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """What became of a request for a schedule.

    Attributes:
        schedule: the new one.
        deleted: those that it replaced.
        left: those that it replaced and that are only paused, each with why.
    """

    schedule: Schedule
    deleted: tuple[Schedule, ...] = ()
    left: tuple[tuple[Schedule, str], ...] = ()


def all_schedules(api: Api) -> list[Schedule]:
    """Returns all schedules of the namespace, by name, the newest of a name first."""
    found = sorted(_listed(api), key=lambda schedule: schedule.created, reverse=True)
    return sorted(found, key=lambda schedule: schedule.name)


def replaceable(api: Api, name: str, pipeline_id: str | None) -> list[Schedule]:
    """Returns the schedules that one of this name would replace.

    Args:
        api: where they are.
        name: of the new schedule.
        pipeline_id: of the pipeline that it runs; None if that is not uploaded yet.

    Raises:
        ConfigError: it is no name for a schedule, or one that belongs to another pipeline.
    """
    found = _listed(api, check_schedule(name))
    others = [schedule for schedule in found if schedule.pipeline_id != pipeline_id]
    if others:
        raise ConfigError(
            f"Expected the name '{name}' to be free, or to belong to a schedule of the same "
            f"pipeline, which is then replaced. Received: a schedule of another pipeline "
            f"({_ids(others)}). Give another --name, or delete that schedule: "
            f"covers schedules delete {others[0].id}"
        )
    return found


def schedule_runs(
    api: Api,
    pipeline: tuple[str, str],
    name: str,
    options: RunOptions,
    timing: Timing,
    old: Sequence[Schedule] = (),
) -> Scheduled:
    """Runs an uploaded version on a schedule, in place of others.

    At no moment are there two that start runs, nor none at all: the new one is made paused, the
    old ones are paused, the new one is resumed, and only then are the old ones deleted. If all of
    the old ones were paused, so is the new one. Deleting a schedule ends its runs, because its
    object in Kubernetes owns theirs; one with a run in progress is left paused.

    Args:
        api: where to.
        pipeline: ids of the pipeline and of its version.
        name: of the schedule.
        options: how the runs are made.
        timing: when.
        old: what it replaces.

    Raises:
        DeploymentError: the API cannot be reached or refuses; the old ones are as they were.
    """
    running = [schedule for schedule in old if schedule.state == RUNNING]
    new = _create(api, pipeline, name, options, timing, paused=bool(old))
    if running:
        with _undone(api, new, running):
            for schedule in running:
                _switch(api, schedule, RUNNING, PAUSED)
            new = _switch(api, new, PAUSED, RUNNING)
    deleted, left = [], []
    for schedule in old:
        why = _delete_unless_in_use(api, schedule)
        if why:
            left.append((schedule, why))
        else:
            deleted.append(schedule)
    return Scheduled(new, tuple(deleted), tuple(left))


def pause(api: Api, name: str) -> Schedule:
    """Lets a schedule, given by name or id, start no runs; those in progress go on.

    Raises:
        ConfigError: several have the name.
        DeploymentError: there is none, or the API cannot be reached or refuses.
    """
    return _switch(api, find(api, name), RUNNING, PAUSED)


def resume(api: Api, name: str) -> Schedule:
    """Lets a schedule, given by name or id, start runs again.

    Raises:
        ConfigError: several have the name.
        DeploymentError: there is none, or the API cannot be reached or refuses.
    """
    return _switch(api, find(api, name), PAUSED, RUNNING)


def delete(api: Api, name: str, *, with_runs: bool = False) -> Schedule:
    """Deletes a schedule, given by name or id.

    Raises:
        ConfigError: several have the name.
        DeploymentError: there is none, it has a run in progress and `with_runs` is false, or the
            API cannot be reached or refuses.
    """
    schedule = find(api, name)
    in_progress = [] if with_runs else runs_in_progress(api, schedule)
    if in_progress:
        raise DeploymentError(
            f"Expected no run of schedule '{schedule.name}' to be in progress, as deleting it "
            f"would end them. Received: {', '.join(in_progress)}. Pause it and delete it later, "
            "or give --with-runs."
        )
    with api.request() as client:
        client.delete_recurring_run(schedule.id)
    return schedule


def find(api: Api, name: str) -> Schedule:
    """Returns the schedule with a name or an id.

    Raises:
        ConfigError: several have the name.
        DeploymentError: there is none, or the API cannot be reached or refuses.
    """
    everything = all_schedules(api)
    found = [schedule for schedule in everything if schedule.name == name]
    found = found or [schedule for schedule in everything if schedule.id == name]
    if len(found) > 1:
        raise ConfigError(
            f"Expected one schedule named '{name}'. Received: {len(found)}, with the ids "
            f"{_ids(found)}. Give one of the ids instead of the name."
        )
    if not found:
        names = sorted({schedule.name for schedule in everything})
        raise DeploymentError(
            f"Expected a schedule with the name or id '{name}'. Received: "
            f"{'schedules named ' + ', '.join(names) if names else 'no schedules at all'}."
            f"{did_you_mean(name, names)}"
        )
    return found[0]


def runs_in_progress(api: Api, schedule: Schedule) -> list[str]:
    """Returns the ids of a schedule's runs that have not ended."""
    runs = api.every(
        lambda client, **page: client.list_runs(namespace=api.connection.namespace, **page),
        "runs",
        where=("recurring_run_id", schedule.id),
    )
    return [str(run.run_id) for run in runs if run.state not in _ENDED]


def _listed(api: Api, name: str | None = None) -> list[Schedule]:
    found = api.every(
        lambda client, **page: client.list_recurring_runs(
            namespace=api.connection.namespace, **page
        ),
        "recurring_runs",
        where=None if name is None else ("display_name", name),
    )
    return [Schedule.from_api(recurring_run) for recurring_run in found]


def _create(
    api: Api,
    pipeline: tuple[str, str],
    name: str,
    options: RunOptions,
    timing: Timing,
    *,
    paused: bool,
) -> Schedule:
    interval = timing.interval
    with api.request() as client:
        experiment = client.create_experiment(
            options.experiment, namespace=api.connection.namespace
        )
        created = client.create_recurring_run(
            experiment.experiment_id,
            name,
            cron_expression=timing.cron,
            interval_second=None if interval is None else int(interval.total_seconds()),
            max_concurrency=timing.max_concurrency,
            no_catchup=not timing.catch_up,
            params=dict(options.parameters),
            pipeline_id=pipeline[0],
            version_id=pipeline[1],
            enabled=not paused,
            pipeline_root=options.pipeline_root,
            enable_caching=None,
            service_account=options.service_account,
        )
    schedule = Schedule.from_api(created)
    return dataclasses.replace(schedule, state=PAUSED if paused else RUNNING)


def _switch(api: Api, schedule: Schedule, before: str, after: str) -> Schedule:
    if schedule.state == before:
        with api.request() as client:
            if after == PAUSED:
                client.disable_recurring_run(schedule.id)
            else:
                client.enable_recurring_run(schedule.id)
    return dataclasses.replace(schedule, state=after)


@contextlib.contextmanager
def _undone(api: Api, new: Schedule, running: Sequence[Schedule]) -> Iterator[None]:
    """Undoes the exchange if it ends half-way, interrupted or not."""
    try:
        yield
    except BaseException as error:
        paused = []
        with contextlib.suppress(DeploymentError), api.request() as client:
            client.delete_recurring_run(new.id)
        for schedule in running:
            try:
                with api.request() as client:
                    client.enable_recurring_run(schedule.id)
            except DeploymentError:
                paused.append(schedule)
        if paused:
            raise DeploymentError(
                f"{error or 'Interrupted.'} The schedule may be paused now. Look at it with "
                f"`covers schedules`, and resume it: covers schedules resume {paused[0].id}"
            ) from error
        raise


def _delete_unless_in_use(api: Api, schedule: Schedule) -> str:
    """Returns why it was not deleted; empty if it was."""
    try:
        in_progress = runs_in_progress(api, schedule)
        if in_progress:
            return f"run {', '.join(in_progress)} is in progress"
        with api.request() as client:
            client.delete_recurring_run(schedule.id)
    except DeploymentError as error:
        return str(error)
    return ""


def _when(trigger: Any) -> str:
    if trigger and trigger.cron_schedule:
        return str(trigger.cron_schedule.cron)
    if trigger and trigger.periodic_schedule:
        hours = int(trigger.periodic_schedule.interval_second) / _SECONDS_PER_HOUR
        return f"every {hours:g} hour{'' if hours == 1 else 's'}"
    return "never"


def _ids(schedules: Sequence[Schedule]) -> str:
    return ", ".join(f"{schedule.id} ({schedule.state})" for schedule in schedules)
