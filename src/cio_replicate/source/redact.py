"""Redact records by the rules for columns before anything is written: exclude, hash, mask, or include only some."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cio_replicate.base.text import MASK, Secret
from cio_replicate.config.column_rules import RedactionKind
from cio_replicate.schema.table import Redaction as Rules
from cio_replicate.schema.table import Table

HASH_PREFIX = "h_"
HASH_DIGITS = 32  # 128 bits: of a billion values, no two will have the same
DEEPEST = 8  # arrays within arrays that are looked into

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.encode
_FRACTION = re.compile(r"\.0+$")
_NUMBER = re.compile(r"-?\d")
_ADDRESS = re.compile(r"[^\s@]+@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_NULL = b"null"

#: Gives what a value becomes; None when it is to be left out.
_Change = Callable[[msgspec.Raw], msgspec.Raw | None]


class Redactor:
    """What the rules of a table do to its records. Safe for one thread at a time.

    No value that a rule excludes, hashes or masks is in a record that `apply` returns, whatever type it has. A field
    whose name differs only by case from that of a column falls under the column's rule, and so does a field on top
    that is called like a column of a flattened object; a key within a JSON column must be written as in the rule.
    """

    def __init__(self, table: Table) -> None:
        redaction = table.redaction
        self._withheld = 0
        self._top: _Inside | None = None
        if redaction is None:
            return
        changes: dict[RedactionKind, _Change] = {RedactionKind.EXCLUDE: lambda _raw: None, RedactionKind.MASK: masked}
        if redaction.salt is not None:
            start = hash_with(redaction.salt)
            changes[RedactionKind.HASH] = lambda raw: hashed(raw, start)
        self._top = self._inside(table, redaction, changes)
        for path, action in redaction.actions.items():
            if path[:-1] in table.objects:
                self._top.folded["__".join(path).casefold()] = changes[action]

    def apply(self, records: Sequence[bytes | msgspec.Raw]) -> tuple[Sequence[bytes | msgspec.Raw], int]:
        """The records by the rules, and how many values were withheld.

        A value is withheld when a rule reaches into it and it is neither an object nor an array of objects, as the rule
        takes it to be: what it holds then is not known. What is no record at all is handed on, since the encoder of
        rows refuses it.
        """
        if self._top is None:
            return records, 0
        self._withheld = 0
        return [self._record(record, self._top) for record in records], self._withheld

    def _record(self, record: bytes | msgspec.Raw, top: _Inside) -> bytes | msgspec.Raw:
        try:
            fields = _record.decode(record)
        except msgspec.ValidationError:
            return record
        return _encode(top.apply(fields))

    def _inside(
        self, table: Table, redaction: Rules, changes: Mapping[RedactionKind, _Change], at: tuple[str, ...] = ()
    ) -> _Inside:
        """What is done to the values of the object at path `at`."""
        depth = len(at)
        kept = [path for path in redaction.only or () if path[:depth] == at and len(path) > depth]
        inside = _Inside()
        if not at or at in table.objects:  # where fields are columns; in a JSON column a key is taken as it is written
            columns = (*table.columns, *table.hidden)
            inside.known = frozenset(one.path[depth] for one in columns if one.path[:depth] == at)
            inside.only = None if redaction.only is None else frozenset(path[depth] for path in kept)
        deeper = [path for path in kept if len(path) > depth + 1]
        for path in (*redaction.actions, *deeper):
            if path[:depth] != at or len(path) == depth or path[depth] in inside.changes:
                continue
            here = path[: depth + 1]
            action = redaction.actions.get(here)
            inside.changes[path[depth]] = (
                changes[action] if action else self._into(self._inside(table, redaction, changes, here))
            )
        if inside.known:
            inside.folded = {name.casefold(): change for name, change in inside.changes.items()}
        return inside

    def _into(self, inside: _Inside) -> _Change:
        def change(raw: msgspec.Raw, depth: int = 0) -> msgspec.Raw | None:
            first = bytes(raw).lstrip()[:1]
            try:
                if first == b"{":
                    return msgspec.Raw(_encode(inside.apply(_record.decode(raw))))
                if first == b"[" and depth < DEEPEST:
                    changed = (change(one, depth + 1) for one in _array.decode(raw))
                    return msgspec.Raw(_encode([one for one in changed if one is not None]))
            except msgspec.DecodeError:  # a key that no text can be
                pass
            if bytes(raw).strip() == _NULL:
                return raw
            self._withheld += 1
            return None

        return change


@dataclass(slots=True)
class _Inside:
    """What is done in one object: per field, by the folded name of those not `known`, and which fields stay."""

    changes: dict[str, _Change] = field(default_factory=dict)
    folded: dict[str, _Change] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def apply(self, fields: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        if self.only is not None:
            fields = {name: raw for name, raw in fields.items() if name in self.only}
        elif self.folded and not self.known.issuperset(fields):
            for name in fields.keys() - self.known - self.changes.keys():
                if (change := self.folded.get(name.casefold())) is not None:
                    _put(fields, name, change(fields[name]))
        for name, change in self.changes.items():
            if name in fields:
                _put(fields, name, change(fields[name]))
        return fields


def _put(fields: dict[str, msgspec.Raw], name: str, changed: msgspec.Raw | None) -> None:
    if changed is None:
        del fields[name]
    else:
        fields[name] = changed


def hash_with(salt: Secret) -> hmac.HMAC:
    """What hashes with this salt begin from; prepared once, since that is the larger part of the work."""
    return hmac.new(salt.reveal().encode("utf-8", "surrogatepass"), digestmod="sha256")


def hashed(raw: msgspec.Raw | bytes, start: hmac.HMAC) -> msgspec.Raw:
    """A text that stands for a value and does not tell it: `h_` and half of its HMAC-SHA256 with the salt, in hex.

    The same text gives the same hash in every table and run with the same salt; a number is hashed as its text, 7.0 as
    7 is, an array or object as it was received. `null` and the empty text, which name nobody, stay what they are.

    HMAC, since without the salt a hash of an address or a number is found by trying all; SHA-256, since every database
    and language has it, so that a value known elsewhere can be hashed the same way and joined.
    """
    text = _text_of(raw)
    if not text:
        return msgspec.Raw(raw)
    made = start.copy()
    made.update(text.encode("utf-8", "surrogatepass"))
    return msgspec.Raw(f'"{HASH_PREFIX}{made.hexdigest()[:HASH_DIGITS]}"'.encode())


def hashed_text(text: str, salt: Secret) -> str:
    """The hash of a text, as `hashed` makes it."""
    return _text.decode(hashed(_encode(text), hash_with(salt)))


def masked(raw: msgspec.Raw | bytes) -> msgspec.Raw:
    """`***` for any value; an email address keeps its domain, as `***@example.com`. `null` and "" stay as they are."""
    text = _text_of(raw)
    if not text:
        return msgspec.Raw(raw)
    address = _ADDRESS.fullmatch(text) if bytes(raw).lstrip()[:1] == b'"' else None
    return msgspec.Raw(_encode(f"{MASK}@{address[1]}" if address else MASK))


def _text_of(raw: msgspec.Raw | bytes) -> str:
    """A value as text; "" for `null`."""
    plain = str(raw, "utf-8", "surrogatepass").strip()
    if plain[:1] == '"':
        try:
            return _text.decode(raw)
        except msgspec.DecodeError:  # half of a surrogate pair: no text, but a value all the same
            return plain
    if plain == "null":
        return ""
    return _FRACTION.sub("", plain) if _NUMBER.match(plain) else plain
