"""A page about the service for people, from its OpenAPI document; without scripts and without the internet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_EXAMPLES = """\
curl -F picture=@portrait.jpg 'http://127.0.0.1:8000/faces'
curl --data-binary @portrait.jpg 'http://127.0.0.1:8000/faces?format=jpeg&amp;originals=true'
curl -H 'Authorization: Bearer TOKEN' -F picture=@portrait.jpg 'http://192.0.2.7:8000/faces'"""


def docs_page(document: Mapping[str, Any]) -> str:
    """HTML with every route: its options, answers and statuses, and the fields of the answers.

    Args:
        document: OpenAPI, version 3.
    """
    info, components = document["info"], document["components"]["schemas"]
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{_text(info['title'])}</title>",
            f"<h1>{_text(info['title'])} {_text(info['version'])}</h1>",
            f"<p>{_text(info['description'])}</p>",
            f"<pre>{_EXAMPLES}</pre>",
            '<p>For programs: <a href="/openapi.json">/openapi.json</a></p>',
            *(line for path, routes in document["paths"].items() for line in _routes(path, routes)),
            "<h2>Fields</h2>",
            *(line for name, schema in components.items() for line in _schema(name, schema)),
            "</html>\n",
        )
    )


def _routes(path: str, routes: Mapping[str, Any]) -> Iterator[str]:
    for method, route in routes.items():
        yield f"<h2>{method.upper()} {_text(path)}</h2>"
        yield f"<p>{_text(route.get('summary', ''))}. {_text(route.get('description', ''))}</p>"
        if body := route.get("requestBody"):
            yield f"<p>Body: {_text(body['description'])} Media types: {', '.join(map(_text, body['content']))}.</p>"
        yield from _table(("option", "type", "default", ""), map(_parameter, route.get("parameters", ())))
        statuses = [(status, answer["description"]) for status, answer in route["responses"].items()]
        yield from _table(("status", ""), statuses)


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    schema = parameter["schema"]
    default = "" if schema.get("default") is None else str(schema["default"])
    return parameter["name"], _type(schema), default, parameter.get("description", "")


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{_text(name)}">{_text(name)}</h3>'
    yield f"<p>{_text(schema.get('description', ''))}</p>"
    rows = [(field, _type(own), own.get("description", "")) for field, own in schema.get("properties", {}).items()]
    yield from _table(("field", "type", ""), rows)
    if "enum" in schema:
        yield f"<p>{', '.join(map(_text, schema['enum']))}</p>"


def _type(schema: Mapping[str, Any]) -> str:
    """Name of a type with its range, e.g. "array of number", "integer, 1 to 100"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    limits = "" if low is None else f", {low:g} or more" if high is None else f", {low:g} to {high:g}"
    return f"{schema.get('type', 'any')}{limits}"


def _table(heads: tuple[str, ...], rows: Any) -> Iterator[str]:
    lines = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    if lines:
        yield "<table border cellpadding=4>"
        yield f"<tr>{''.join(f'<th align=left>{head}</th>' for head in heads)}</tr>"
        yield from (f"<tr>{line}</tr>" for line in lines)
        yield "</table>"


def _text(value: object) -> str:
    """As HTML; what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(str(value)))
