"""Jobs and cron jobs."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell, Since, human_duration, unix_time
from schema.printing.printer import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Condition,
    Fields,
    Metadata,
    Printer,
    age,
    boolean,
    integer,
    text,
    true_condition,
    wide,
)
from schema.printing.selectors import LabelSelector, format_selector
from schema.printing.workloads import TEMPLATE, PodTemplate, container_cells


class JobSpec(Fields):
    completions: int | None = None
    parallelism: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplate = msgspec.field(default_factory=PodTemplate)


class JobStatus(Fields):
    succeeded: int = 0
    start_time: str | None = None
    completion_time: str | None = None
    conditions: list[Condition] | None = None


class Job(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)


class JobTemplate(Fields):
    spec: JobSpec = msgspec.field(default_factory=JobSpec)


class CronJobSpec(Fields):
    schedule: str = ""
    time_zone: str | None = None
    suspend: bool | None = None
    job_template: JobTemplate = msgspec.field(default_factory=JobTemplate)


class CronJobStatus(Fields):
    active: list[msgspec.Raw] | None = None
    last_schedule_time: str | None = None


class CronJob(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: CronJobSpec = msgspec.field(default_factory=CronJobSpec)
    status: CronJobStatus = msgspec.field(default_factory=CronJobStatus)


def job_cells(job: Job) -> list[Cell]:
    return [
        job.metadata.name,
        _status(job),
        _completions(job),
        _duration(job.status),
        age(job.metadata),
        *container_cells(job.spec.template),
        format_selector(job.spec.selector),
    ]


def _status(job: Job) -> str:
    for type in ("Complete", "Failed"):
        if true_condition(job.status.conditions, type):
            return type
    if job.metadata.deletion_timestamp is not None:
        return "Terminating"
    for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if true_condition(job.status.conditions, type):
            return type
    return "Running"


def _completions(job: Job) -> str:
    succeeded, spec = job.status.succeeded, job.spec
    if spec.completions is not None:
        return f"{succeeded}/{spec.completions}"
    parallelism = spec.parallelism or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: JobStatus) -> Cell:
    if status.start_time is None:
        return ""
    if status.completion_time is None:
        return Since(status.start_time)
    return human_duration(unix_time(status.completion_time) - unix_time(status.start_time))


def cron_job_cells(cron: CronJob) -> list[Cell]:
    spec, status = cron.spec, cron.status
    job = spec.job_template.spec
    return [
        cron.metadata.name,
        spec.schedule,
        NONE if spec.time_zone is None else spec.time_zone,
        UNSET if spec.suspend is None else str(spec.suspend),
        len(status.active or ()),
        NONE if status.last_schedule_time is None else Since(status.last_schedule_time),
        age(cron.metadata),
        *container_cells(job.template),
        format_selector(job.selector),
    ]


PRINTERS = (
    Printer(
        "batch",
        "jobs",
        Job,
        (NAME, text("Status"), text("Completions"), text("Duration"), AGE, *TEMPLATE, wide("Selector")),
        job_cells,
        status="Status",
        fields=lambda job: [f"status.successful={job.status.succeeded}"],
    ),
    Printer(
        "batch",
        "cronjobs",
        CronJob,
        (
            NAME,
            text("Schedule"),
            text("Timezone"),
            boolean("Suspend"),
            integer("Active"),
            text("Last Schedule"),
            AGE,
            *TEMPLATE,
            wide("Selector"),
        ),
        cron_job_cells,
    ),
)
