"""HTML forms: values a browser sends, fields for settings, and the form of a task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from litestar import Request
from litestar.di import NamedDependency

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.documents import ScheduleSettings, TaskSettings, as_labels, decoded
from cio_replicate.config.options import Field, fields_of
from cio_replicate.config.table_options import Deletes, SchemaChanges, WriteMode
from cio_replicate.console.metadata import Metadata
from cio_replicate.source.catalog import TABLES

# A form as a browser sent it.


LONGEST = 20_000  # characters of a field


class SubmittedForm:
    """Fields by name, each a text or several."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    def text(self, name: str, default: str = "") -> str:
        """The field without what surrounds it."""
        values = self._fields.get(name)
        return values[-1].strip() if values else default

    def raw(self, name: str) -> str:
        """The field as it is: a password may begin with a space."""
        values = self._fields.get(name)
        return values[-1] if values else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field that may come several times, without empty ones."""
        return [value.strip() for value in self._fields.get(name, ()) if value.strip()]

    def lines(self, name: str) -> list[str]:
        """The lines of a field, without empty ones."""
        return [line.strip() for line in self.raw(name).splitlines() if line.strip()]

    def has(self, name: str) -> bool:
        """Whether the form has this field: a box that is ticked, a button that was pressed."""
        return name in self._fields


async def form_of(request: Request[Any, Any, Any]) -> SubmittedForm:
    """The form that a request brought."""
    sent = await request.form()
    fields: dict[str, list[str]] = {}
    for name, value in sent.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value[:LONGEST])
    return SubmittedForm(fields)


#: How a handler asks for the form that it was sent.
Sent = NamedDependency[SubmittedForm]


# Settings in a form: what it shows of them, and the settings that it brings, derived from their declarations.


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FormField:
    """A field as a template shows it. `value` is a text, or for `yes or no` whether it is ticked."""

    name: str
    label: str
    help: str
    kind: str
    choices: tuple[str, ...]
    value: str | bool
    required: bool


def shown_fields(kind: type, values: Mapping[str, Any] | object | None) -> dict[str, FormField]:
    """The fields of settings by name, with what they hold: settings, what a form said, or nothing yet."""
    return {one.name: _shown(one, values) for one in fields_of(kind)}


def said_by(form: SubmittedForm, kind: type) -> dict[str, Any]:
    """What a form said, as it was written, to be shown again beside what is wrong with it."""
    said: dict[str, Any] = {}
    for one in fields_of(kind):
        said[one.name] = form.has(one.name) if one.kind == "yes or no" else _written(form, one)
    return said


def settings_of(form: SubmittedForm, kind: type[T], more: Mapping[str, Any], without: Collection[str] = ()) -> T:
    """The settings that a form brings; `more` are those that it asks for otherwise, and `without` are not asked for.

    Raises Refused.
    """
    data: dict[str, Any] = {}
    for one in fields_of(kind):
        if one.name in more or one.name in without:
            continue
        value = _value(form, one)
        if value is not None:
            data[one.name] = value
    return decoded({**data, **more}, kind)


def _value(form: SubmittedForm, one: Field) -> Any:  # noqa: ANN401 - of the kind of the field
    """The value that a form brings for a field; None where it leaves it as it usually is."""
    if one.kind == "yes or no":
        return form.has(one.name)
    if one.kind == "texts":
        return _several(form, one) or None
    text = form.text(one.name)
    if not text:
        return None
    if one.kind in ("number", "whole number"):
        return _number(text, one)
    return text


def _number(text: str, one: Field) -> float | int:
    try:
        return float(text) if one.kind == "number" else int(text)
    except ValueError:
        raise InvalidSettings(f"{one.setting.label}: {text[:60]!r} is no {one.kind}.", "Write digits alone.") from None


def _several(form: SubmittedForm, one: Field) -> list[str]:
    """Boxes that are ticked, or the lines of a text."""
    if one.setting.choices:
        return form.texts(one.name)
    return [line for value in form.texts(one.name) for line in value.splitlines() if line.strip()]


def _written(form: SubmittedForm, one: Field) -> Any:  # noqa: ANN401 - a text, or several
    return _several(form, one) if one.kind == "texts" else form.text(one.name)


def _shown(one: Field, values: Mapping[str, Any] | object | None) -> FormField:
    if isinstance(values, Mapping):
        value = values.get(one.name, one.default)
    else:
        value = getattr(values, one.name, one.default) if values is not None else one.default
    about = as_labels(one.setting.about)
    return FormField(one.name, one.setting.label, about, one.kind, one.setting.choices, _text(value), one.required)


def _text(value: Any) -> str | bool:  # noqa: ANN401 - any value of a setting
    if isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)):
        return "\n".join(map(str, value))
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return "" if value is None else str(value)


ALL, ONLY, BUT = "all", "only", "but"
BY_HAND, EVERY, CRON, AFTER = "hand", "every", "cron", "after"
#: Settings that the form asks for in ways of its own.
OWN = ("connection", "tables", "exclude", "mode", "deletes", "schema_changes", "after", "notify")
WAYS: Mapping[str, tuple[str, ...]] = {
    "mode": tuple(map(str, (WriteMode.APPLY, WriteMode.FULL, WriteMode.CHANGES, WriteMode.HISTORY))),
    "deletes": tuple(map(str, Deletes)),
    "schema_changes": tuple(map(str, SchemaChanges)),
}


def task_of(form: SubmittedForm) -> TaskSettings:
    """The settings that a form brings. Raises Refused."""
    more: dict[str, Any] = {"connection": form.text("connection"), "notify": form.texts("notify")}
    more |= {"schedule": schedule_said(form), "after": _after(form)}
    more |= _chosen_tables(form)
    for name in WAYS:
        more[name] = _ways(form, name)
    return settings_of(form, TaskSettings, more)


def schedule_said(form: SubmittedForm) -> dict[str, Any] | None:
    """The schedule that a form brings, as a document; None for a task that runs by hand or after another."""
    when = form.text("when", BY_HAND)
    if when not in (EVERY, CRON):
        return None
    if not form.text(when):
        raise InvalidSettings("It is not said when the task runs.", "Write an interval such as 6h, or a cron line.")
    names = (when, "zone", "begin", "end", "missed")
    return {name: form.text(name) for name in names if form.text(name)}


def shown(settings: TaskSettings | None, form: SubmittedForm | None, zone: str) -> dict[str, Any]:
    """What the form's own parts show: of a form that was sent, of settings, or of a new task."""
    if form is not None:
        return {
            "connection": form.text("connection"),
            "which": form.text("which", ALL),
            "ticked": set(form.texts("table")),
            "when": form.text("when", BY_HAND),
            "after": form.text("after"),
            "notify": set(form.texts("notify")),
            "schedule": {name: form.text(name) for name in ("every", "cron", "zone", "begin", "end", "missed")},
            "ways": {name: _ways_of(_ways(form, name)) for name in WAYS},
        }
    if settings is None:
        schedule, after = None, None
    else:
        schedule, after = settings.schedule, settings.after
    return {
        "connection": settings.connection if settings is not None else "",
        "which": _which(settings),
        "ticked": _ticked(settings),
        "when": _when(schedule, after),
        "after": after or "",
        "notify": set(settings.notify) if settings is not None else set(),
        "schedule": _schedule(schedule, zone),
        "ways": {name: _ways_of(getattr(settings, name, None) or []) for name in WAYS},
    }


def tables_to_choose(opened: Metadata | None) -> list[dict[str, Any]]:
    """Every table, with what is known of it in the connection that is read."""
    known = {one.name: one for one in opened.tables} if opened is not None else {}
    return [
        {
            "name": table.name,
            "about": table.about,
            "retention": table.retention_days,
            "readable": known[table.name].readable if table.name in known else None,
            "rows": known[table.name].rows if table.name in known else None,
            "least": known[table.name].least if table.name in known else None,
        }
        for table in TABLES
    ]


def _chosen_tables(form: SubmittedForm) -> dict[str, str | None]:
    which, ticked = form.text("which", ALL), form.texts("table")
    if which == ALL:
        return {"tables": None, "exclude": None}
    if not ticked:
        if which == ONLY:
            raise InvalidSettings("No table is chosen.", "Tick at least one, or choose all tables.")
        return {"tables": None, "exclude": None}
    names = ",".join(ticked)
    return {"tables": names, "exclude": None} if which == ONLY else {"tables": None, "exclude": names}


def _ways(form: SubmittedForm, name: str) -> list[str] | None:
    """What a form says of all tables, and of some; None where all is as usual."""
    usual, for_all = WAYS[name][0], form.text(name)
    said = [for_all] if for_all and for_all != usual else []
    for table in TABLES:
        way = form.text(f"{name}:{table.name}")
        if way:
            said.append(f"{table.name}={way}")
    return said or None


def _ways_of(texts: Sequence[str] | None) -> dict[str, str]:
    """The way of each table that has one of its own, and under an empty name that of all others."""
    found: dict[str, str] = {}
    for text in (one.strip() for many in texts or () for one in many.split(",")):
        table, separator, way = text.partition("=")
        found[table.strip() if separator else ""] = way.strip() if separator else table.strip()
    return found


def _after(form: SubmittedForm) -> str | None:
    return form.text("after") or None if form.text("when") == AFTER else None


def _which(settings: TaskSettings | None) -> str:
    if settings is None or (settings.tables is None and settings.exclude is None):
        return ALL
    return ONLY if settings.tables is not None else BUT


def _ticked(settings: TaskSettings | None) -> set[str]:
    text = (settings.tables or settings.exclude or "") if settings is not None else ""
    return {name.strip() for name in text.split(",") if name.strip()}


def _when(schedule: ScheduleSettings | None, after: str | None) -> str:
    if schedule is not None:
        return CRON if schedule.cron is not None else EVERY
    return AFTER if after is not None else BY_HAND


def _schedule(schedule: ScheduleSettings | None, zone: str) -> dict[str, str]:
    if schedule is None:
        return {"every": "6h", "cron": "0 3 * * *", "zone": zone, "begin": "", "end": "", "missed": "once"}
    names = ("every", "cron", "zone", "begin", "end", "missed")
    return {name: getattr(schedule, name) or "" for name in names}
