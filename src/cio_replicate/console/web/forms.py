"""HTML forms: values a browser sends, fields for settings, and the form of a task."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.documents import TaskSettings, as_labels, decoded
from cio_replicate.config.options import Field, fields_of
from cio_replicate.config.table_options import Deletes, SchemaChanges, WriteMode
from cio_replicate.source.catalog import TABLES

LONGEST = 20_000  # characters of a field
YES = "yes"

T = TypeVar("T")


class SubmittedForm:
    """Fields by name, each a text or several: as a browser sent them, or as it would send these settings."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    @classmethod
    def of(cls, items: Iterable[tuple[str, Any]]) -> SubmittedForm:
        """Return the form of these fields, in which a name may come several times; files are left out."""
        fields: dict[str, list[str]] = {}
        for name, value in items:
            if isinstance(value, str):
                fields.setdefault(name, []).append(value[:LONGEST])
        return cls(fields)

    def __bool__(self) -> bool:
        """Whether anything was sent."""
        return bool(self._fields)

    def text(self, name: str, default: str = "") -> str:
        """Return the field without what surrounds it."""
        values = self._fields.get(name)
        return values[-1].strip() if values else default

    def raw(self, name: str) -> str:
        """Return the field as it is: a password may begin with a space."""
        values = self._fields.get(name)
        return values[-1] if values else ""

    def texts(self, name: str) -> list[str]:
        """Return all values of a field that may come several times, without empty ones."""
        return [value.strip() for value in self._fields.get(name, ()) if value.strip()]

    def lines(self, name: str) -> list[str]:
        """Return the lines of a field, without empty ones."""
        return [line.strip() for line in self.raw(name).splitlines() if line.strip()]

    def has(self, name: str) -> bool:
        """Whether the form has this field: a box that is ticked, a button that was pressed."""
        return name in self._fields


@dataclass(frozen=True, slots=True)
class FormField:
    """A field as a template shows it. `value` is a text, or for a box whether it is ticked."""

    name: str
    label: str
    help: str
    choices: tuple[str, ...]
    value: str | bool


def shown_fields(kind: type, form: SubmittedForm) -> dict[str, FormField]:
    """Return the fields of settings by name, with what the form holds."""
    return {one.name: _shown(one, form) for one in fields_of(kind)}


def _shown(one: Field, form: SubmittedForm) -> FormField:
    value: str | bool = form.has(one.name) if one.kind == "yes or no" else form.text(one.name)
    if one.kind == "texts":
        value = "\n".join(_several(form, one))
    about = as_labels(one.setting.about)
    return FormField(one.name, one.setting.label, about, one.setting.choices, value)


def form_with(kind: type, settings: object | None, **more: str) -> SubmittedForm:
    """Return the form that would bring these settings, or while there are none the usual ones; and these fields."""
    return SubmittedForm({**_fields_with(kind, settings), **{name: [value] for name, value in more.items()}})


def _fields_with(kind: type, settings: object | None) -> dict[str, list[str]]:
    values = {one.name: getattr(settings, one.name, one.default) for one in fields_of(kind)}
    return {name: _texts(value) for name, value in values.items() if value is not None and value is not False}


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - any value of a setting
    if isinstance(value, (list, tuple)):
        return [str(one) for one in value]
    if isinstance(value, bool):
        return [YES]
    return [str(int(value) if isinstance(value, float) and value == int(value) else value)]


def settings_of(form: SubmittedForm, kind: type[T], more: Mapping[str, Any], without: Collection[str] = ()) -> T:
    """Return the settings that a form brings; `more` are those that it asks for otherwise, `without` are not asked for.

    Raises InvalidSettings.
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
    """Return the value that a form brings for a field; None where it leaves it as it usually is."""
    if one.kind == "yes or no":
        return form.has(one.name)
    if one.kind == "texts":
        return _several(form, one) or None
    text = form.text(one.name)
    if one.kind not in ("number", "whole number"):
        return text or None
    try:
        return (float(text) if one.kind == "number" else int(text)) if text else None
    except ValueError:
        raise InvalidSettings(f"{one.setting.label}: {text[:60]!r} is no {one.kind}.", "Write digits alone.") from None


def _several(form: SubmittedForm, one: Field) -> list[str]:
    """Return the boxes that are ticked, or the lines of a text."""
    if one.setting.choices:
        return form.texts(one.name)
    return [line for value in form.texts(one.name) for line in value.splitlines() if line.strip()]


ALL, ONLY, BUT = "all", "only", "but"
BY_HAND, EVERY, CRON, AFTER = "hand", "every", "cron", "after"
SCHEDULE = ("every", "cron", "zone", "begin", "end", "missed")
#: Settings for all tables that a form asks for once, and again for each table: their values, the usual one first.
WAYS: Mapping[str, tuple[str, ...]] = {
    "mode": tuple(map(str, (WriteMode.APPLY, WriteMode.FULL, WriteMode.CHANGES, WriteMode.HISTORY))),
    "deletes": tuple(map(str, Deletes)),
    "schema_changes": tuple(map(str, SchemaChanges)),
}


def task_of(form: SubmittedForm) -> TaskSettings:
    """Return the settings that a task's form brings. Raises InvalidSettings."""
    more: dict[str, Any] = {"connection": form.text("connection"), "notify": form.texts("notify")}
    more |= {"schedule": schedule_of(form), "after": None, "tables": None, "exclude": None}
    if form.text("when") == AFTER:
        more["after"] = form.text("after") or None
    which, ticked = form.text("which", ALL), form.texts("table")
    if which == ONLY and not ticked:
        raise InvalidSettings("No table is chosen.", "Tick at least one, or choose all tables.")
    if which != ALL and ticked:
        more["tables" if which == ONLY else "exclude"] = ",".join(ticked)
    for name in WAYS:
        more[name] = _ways_of(form, name)
    return settings_of(form, TaskSettings, more)


def schedule_of(form: SubmittedForm) -> dict[str, Any] | None:
    """Return the schedule that a form brings, as a document; None for a task that runs by hand or after another."""
    when = form.text("when", BY_HAND)
    if when not in (EVERY, CRON):
        return None
    if not form.text(when):
        raise InvalidSettings("It is not said when the task runs.", "Write an interval such as 6h, or a cron line.")
    names = (when, *SCHEDULE[2:])
    return {name: form.text(name) for name in names if form.text(name)}


def _ways_of(form: SubmittedForm, name: str) -> list[str] | None:
    """Return what a form says for all tables, and for some; None where all is as usual."""
    usual, for_all = WAYS[name][0], form.text(name)
    ways = [for_all] if for_all and for_all != usual else []
    for table in TABLES:
        way = form.text(f"{name}:{table.name}")
        if way:
            ways.append(f"{table.name}={way}")
    return ways or None


def task_form(settings: TaskSettings | None, zone: str) -> SubmittedForm:
    """Return the form that would bring these settings, or that of a new task."""
    fields = _fields_with(TaskSettings, settings)
    fields |= {"every": ["6h"], "cron": ["0 3 * * *"], "zone": [zone], "missed": ["once"]}
    if settings is None:
        return SubmittedForm(fields)
    if settings.tables is not None or settings.exclude is not None:
        fields["which"] = [ONLY if settings.tables is not None else BUT]
        fields["table"] = (settings.tables or settings.exclude or "").split(",")
    if settings.schedule is not None:
        fields |= {name: [getattr(settings.schedule, name) or ""] for name in SCHEDULE}
        fields["when"] = [CRON if settings.schedule.cron is not None else EVERY]
    elif settings.after is not None:
        fields["when"] = [AFTER]
    for name in WAYS:
        fields |= _fields_of_ways(name, getattr(settings, name) or [])
    return SubmittedForm(fields)


def _fields_of_ways(name: str, ways: Sequence[str]) -> dict[str, list[str]]:
    """Return the fields by which a form says these ways: `WAY` for all tables, `TABLE=WAY` for one."""
    fields: dict[str, list[str]] = {name: []}
    for text in (one for many in ways for one in many.split(",")):
        table, separator, way = text.rpartition("=")
        fields[f"{name}:{table.strip()}" if separator else name] = [way]
    return fields
