"""The endpoints in words: an OpenAPI document of this very model, and a page that shows it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tables import ARROW, CSV, PARQUET

if TYPE_CHECKING:
    from rows import Column

_TYPES: dict[str, list[str]] = {
    "numeric": ["number", "string"],
    "boolean": ["boolean", "integer", "string"],
    "categorical": ["string", "number", "boolean"],
    "text": ["string", "number", "boolean"],
    "datetime": ["string", "number"],
}

ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js")
"""Files of the page, which come with BentoML: it works without the internet."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="page"></div><script src="docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "openapi.json", dom_id: "#page", tryItOutEnabled: true}})</script>
</body></html>
"""


def asset(name: str) -> bytes:
    """Return one of the page's files."""
    found = find_spec("bentoml")
    assert found is not None  # noqa: S101 - it serves this
    assert found.origin is not None  # noqa: S101 - a package has one
    folder = Path(found.origin).parent / "_internal" / "server" / "static_content"
    return (folder / name).read_bytes()


def document(manifest: dict[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    classes = manifest["problem"]["classes"]
    target = manifest["problem"]["target"]
    about = f"Predicts `{target}`"
    about += f": {', '.join(f'`{each}`' for each in classes)}." if classes else "."
    example = manifest["sample"][:2]
    fault = {"$ref": "#/components/schemas/Fault"}
    answers = {"200": _answer("The predictions, in the order of the rows", _ref("Answer"))}
    answers |= {
        code: _answer(words, fault)
        for code, words in {
            "413": "The body is too large",
            "415": "The media type is not read here",
            "422": "Some value is not what its column holds; `faults` names the places",
            "503": "The model is not loaded yet, or the prediction log takes no more",
        }.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{manifest['model']} v{manifest['version']}",
            "version": str(manifest["version"]),
            "description": about,
        },
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Predict the target of rows",
                    "operationId": "predict",
                    "requestBody": {"required": True, "content": _bodies(example, columns)},
                    "responses": answers,
                }
            },
            "/health/live": {"get": _plain("Whether the process runs", "live")},
            "/health/ready": {
                "get": _plain("Whether the model has answered a first request", "ready", "503")
            },
            "/metrics": {"get": _plain("What was counted, for Prometheus", "metrics")},
        },
        "components": {"schemas": _schemas(columns, classes)},
    }


def _bodies(example: list[dict[str, Any]], columns: tuple[Column, ...]) -> dict[str, Any]:
    positional = [[row[column.name] for column in columns] for row in example]
    table = {"schema": {"type": "string", "format": "binary"}}
    return {
        "application/json": {
            "schema": {"anyOf": [_ref("Rows"), _ref("Features"), _ref("Wrapped")]},
            "examples": {
                "rows": {"summary": "Named rows", "value": {"rows": example}},
                "features": {"summary": "Positional", "value": {"features": positional}},
                "row": {"summary": "One positional row", "value": {"features": positional[0]}},
            },
        },
        CSV: {"schema": {"type": "string"}},
        ARROW: table,
        PARQUET: table,
    }


def _schemas(columns: tuple[Column, ...], classes: list[Any]) -> dict[str, Any]:
    cells = {column.name: _cell(column) for column in columns}
    wanted = [column.name for column in columns if not column.nullable]
    value: dict[str, Any] = {"type": ["string", "number", "boolean"]}
    if classes:
        value = {"enum": classes}
    prediction: dict[str, Any] = {
        "type": "object",
        "required": ["prediction", "probabilities"],
        "properties": {
            "prediction": value,
            "probabilities": {
                "type": ["object", "null"],
                "additionalProperties": {"type": "number"},
            },
        },
    }
    head = {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "prediction_id": {"type": "string"},
        "warnings": {"type": "array", "items": {"type": "string"}},
    }
    several = {**head, "predictions": {"type": "array", "items": _ref("Prediction")}}
    single = {**head, **prediction["properties"]}
    required = ["model", "version", "prediction_id"]
    return {
        "Row": {"type": "object", "required": wanted, "properties": cells},
        "Rows": {
            "type": "object",
            "required": ["rows"],
            "properties": {"rows": {"type": "array", "minItems": 1, "items": _ref("Row")}},
        },
        "Features": {
            "type": "object",
            "required": ["features"],
            "properties": {
                "features": {
                    "type": "array",
                    "minItems": 1,
                    "description": f"In this order: {', '.join(cells)}",
                }
            },
        },
        "Wrapped": {
            "type": "object",
            "required": ["input_data"],
            "properties": {"input_data": {"anyOf": [_ref("Rows"), _ref("Features")]}},
        },
        "Prediction": prediction,
        "Answer": {
            "anyOf": [
                {"type": "object", "required": [*required, "predictions"], "properties": several},
                {"type": "object", "required": [*required, "prediction"], "properties": single},
            ]
        },
        "Fault": {
            "type": "object",
            "required": ["error", "detail"],
            "properties": {
                "error": {"type": "string"},
                "detail": {"type": "string"},
                "faults": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"place": {"type": "string"}, "fault": {"type": "string"}},
                    },
                },
            },
        },
    }


def _cell(column: Column) -> dict[str, Any]:
    kinds = list(_TYPES[column.kind])
    words = "a whole number" if column.whole else column.kind
    if column.nullable:
        kinds.append("null")
        words += ", may be missing"
    return {"type": kinds, "description": words}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _plain(words: str, name: str, *codes: str) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    found = {code: {"description": words, "content": content} for code in ("200", *codes)}
    return {"summary": words, "operationId": name, "responses": found}
