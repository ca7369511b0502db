"""The API of tasks: what the pages of tasks do."""

from __future__ import annotations

from litestar import delete, get, post, put
from litestar.params import JSONBody

from cio_replicate.config.documents import TaskSettings
from cio_replicate.console.api.api_models import EditedTask, NewTask, QueuedRun, TaskBody, task_shown
from cio_replicate.console.web.authorization import ADMIN, OPERATOR, VIEWER, AnyRequest, actor_of, taking
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.naming import Name
from cio_replicate.console.web.services import With
from cio_replicate.jobs.job import RunAction
from cio_replicate.jobs.runs import SkippedTimes

TAGS = ["Tasks"]


@get("/api/v1/tasks", tags=TAGS, **VIEWER)
def list_tasks(services: With) -> list[TaskBody]:
    """List all tasks."""
    return [task_shown(one) for one in services.tasks.all()]


@post("/api/v1/tasks", tags=TAGS, **taking(TaskSettings, ADMIN))
def create_task(request: AnyRequest, services: With, data: JSONBody[NewTask]) -> TaskBody:
    """Make a task; its schedule counts from now on."""
    return task_shown(services.tasks.create(data.name, data.settings, actor_of(request)))


@get("/api/v1/tasks/{name:str}", tags=TAGS, **VIEWER)
def show_task(services: With, name: Name) -> TaskBody:
    """Show a task."""
    return task_shown(there(services.tasks.named, name))


@put("/api/v1/tasks/{name:str}", tags=TAGS, **taking(TaskSettings, ADMIN))
def edit_task(request: AnyRequest, services: With, name: Name, data: JSONBody[EditedTask]) -> TaskBody:
    """Give a task these settings; a run that goes on keeps those that it has."""
    there(services.tasks.named, name)
    services.tasks.edit(name, data.settings, actor_of(request))
    return task_shown(services.tasks.named(name))


@delete("/api/v1/tasks/{name:str}", tags=TAGS, **ADMIN)
def delete_task(request: AnyRequest, services: With, name: Name) -> None:
    """Delete a task with its history, unless a run of it goes on; what was copied stays where it is."""
    there(services.tasks.named, name)
    services.tasks.delete(name, actor_of(request))


@post("/api/v1/tasks/{name:str}/pause", tags=TAGS, status_code=200, **OPERATOR)
def pause_task(request: AnyRequest, services: With, name: Name) -> TaskBody:
    """Let a task rest: it does not run by itself until it is resumed."""
    there(services.tasks.named, name)
    services.tasks.pause(name, actor_of(request))
    return task_shown(services.tasks.named(name))


@post("/api/v1/tasks/{name:str}/resume", tags=TAGS, status_code=200, **OPERATOR)
def resume_task(request: AnyRequest, services: With, name: Name) -> TaskBody:
    """Let a task go on; its schedule counts from now on."""
    there(services.tasks.named, name)
    services.tasks.pause(name, actor_of(request), paused=False)
    return task_shown(services.tasks.named(name))


@post("/api/v1/tasks/{name:str}/runs", tags=TAGS, **OPERATOR)
def ask_for_run(request: AnyRequest, services: With, name: Name, data: JSONBody[RunAction | None] = None) -> QueuedRun:
    """Let a task run now: without a body all that is due, else a resync of tables or a backfill of one."""
    there(services.tasks.named, name)
    return QueuedRun(run=services.runs.ask(name, actor_of(request), data or RunAction()))


@get("/api/v1/tasks/{name:str}/missed", tags=TAGS, **VIEWER)
def list_missed(services: With, name: Name) -> list[SkippedTimes]:
    """List the newest times at which a task was due and was not run, each with the reason."""
    return there(services.runs.missed, name)


HANDLERS = (
    list_tasks,
    create_task,
    show_task,
    edit_task,
    delete_task,
    pause_task,
    resume_task,
    ask_for_run,
    list_missed,
)
