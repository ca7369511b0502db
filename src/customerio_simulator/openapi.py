"""The simulator's own OpenAPI 3.1 document, derived from the endpoint table."""

from __future__ import annotations

from functools import cache
from typing import Any

from .asking import Param
from .endpoints import ENDPOINTS, Endpoint
from .schemas import record_schema, schema_tables

_PLACEHOLDER = "<object_type_id>"
_ERROR = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail", "status"],
                "properties": {"detail": {"type": "string"}, "status": {"type": "string"}},
            },
        },
    },
}
_SEGMENT_COUNT = {
    "type": "object",
    "required": ["segment_id", "count"],
    "properties": {"segment_id": {"type": "integer"}, "count": {"type": "integer"}},
}
_FILTER = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {
        "and": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/filter"}},
        "or": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/filter"}},
        "not": {"$ref": "#/components/schemas/filter"},
        "segment": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
        "attribute": {
            "type": "object",
            "required": ["field", "operator", "value"],
            "properties": {
                "field": {"type": "string"},
                "operator": {"enum": ["eq", "exists"]},
                "value": {"type": "string"},
            },
        },
    },
}
_BODIES: dict[str, dict[str, Any]] = {
    "filter": {
        "type": "object",
        "required": ["filter"],
        "properties": {"filter": {"$ref": "#/components/schemas/filter"}},
    },
    "ids": {
        "type": "object",
        "required": ["ids"],
        "properties": {"ids": {"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "string"}}},
    },
}
_SIBLINGS: dict[str, dict[str, Any]] = {
    "next": {"type": "string"},
    "ids": {"type": "array", "items": {"type": "string"}},
    "segment_id": {"type": "integer"},
    "category": {"type": "string"},
}


@cache
def _document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    records = {name: modern(record_schema(name)) for name in schema_tables()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Simulated Customer.io App API", "version": "1"},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": records | {"error": _ERROR, "segment_count": _SEGMENT_COUNT, "filter": _FILTER},
        },
    }


def document() -> dict[str, Any]:
    """OpenAPI 3.1; records follow the published schemas, which hostile data deliberately does not."""
    return _document()


def modern(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in the 3.1 dialect: `nullable` becomes a type of null, formats that no checker knows are dropped."""
    made = {name: _modern_part(part) for name, part in schema.items() if name not in {"nullable", "format"}}
    if schema.get("nullable"):
        made["type"] = [schema["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    if schema.get("format") == "email":
        made["format"] = "email"
    if any(_PLACEHOLDER in str(value) for value in made.get("enum", ())):
        made |= {"anyOf": _alternatives(made.pop("enum"))}
    return made


def _alternatives(values: list[str]) -> list[dict[str, Any]]:
    """The plain values, and a pattern for each that has a number in place of an object type (spec)."""
    patterns = [value.replace(_PLACEHOLDER, r"\d+") for value in values if _PLACEHOLDER in value]
    plain = [value for value in values if _PLACEHOLDER not in value]
    return [{"enum": plain}, *({"pattern": f"^{pattern}$"} for pattern in patterns)]


def _modern_part(part: Any) -> Any:  # noqa: ANN401  (any JSON)
    if isinstance(part, dict):
        return modern(part) if _is_schema(part) else {name: _modern_part(inner) for name, inner in part.items()}
    return part


def _is_schema(part: dict[str, Any]) -> bool:
    return isinstance(part.get("type"), str)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    errors = {"401", "403", "404", "429"} | ({"400"} if endpoint.params or endpoint.body else set())
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "tags": [endpoint.table],
        "parameters": [_parameter(param, "path") for param in endpoint.path_params]
        + [_parameter(param, "query") for param in endpoint.params],
        "responses": {"200": {"description": "data", "content": _json(_success(endpoint))}}
        | {status: {"description": "refusal", "content": _json(_ref("error"))} for status in sorted(errors)},
    }
    if endpoint.body:
        operation["requestBody"] = {"required": True, "content": _json(_BODIES[endpoint.body])}
    return operation


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    data: dict[str, Any] = _ref(endpoint.record)
    if endpoint.key is None:
        return data
    if endpoint.many:
        data = {"type": ["array", "null"] if endpoint.nullable else "array", "items": data}
    properties = {endpoint.key: data} | {name: _SIBLINGS[name] for name in endpoint.siblings}
    return {"type": "object", "required": list(properties), "properties": properties}


def _parameter(param: Param, place: str) -> dict[str, Any]:
    bounds = {"minimum": param.minimum, "maximum": param.maximum, "default": param.default}
    schema: dict[str, Any] = {"type": param.kind}
    schema |= {name: value for name, value in bounds.items() if value is not None}
    if param.enum:
        schema["enum"] = list(param.enum)
    schema = modern(schema)
    return {"name": param.name, "in": place, "required": place == "path", "schema": schema}
