"""Settings in a form: what it shows of them, and the settings that it brings, derived from their declarations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import as_labels, decoded
from cio_replicate.config.setting import Field, fields_of
from cio_replicate.console.web.form import SubmittedForm

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

    Raises SettingsError.
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
        raise SettingsError(f"{one.setting.label}: {text[:60]!r} is no {one.kind}.", "Write digits alone.") from None


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
