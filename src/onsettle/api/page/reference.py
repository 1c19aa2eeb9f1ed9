"""The page about the HTTP API, written from the OpenAPI document: plain HTML, without a script."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

_Json = Mapping[str, Any]

_PLAIN = ("application/json", "application/problem+json")
_UNSAID = "Successful Response"  # FastAPI's, where a route has no words of its own


def reference(document: _Json) -> str:
    """What stands between the page's head and foot."""
    schemas: _Json = document["components"]["schemas"]
    groups = _groups(document)
    links = [f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in groups]
    parts = [f"<p>{_prose(document['info']['description'])}</p>"]
    for tag, operations in groups.items():
        parts.append(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>')
        parts.append(f"<section>{''.join(_operation(*each) for each in operations)}</section>")
    parts.append('<h2 id="schemas">schemas</h2>')
    parts.append(f"<section>{''.join(_schema(name, schemas[name]) for name in schemas)}</section>")
    return (
        f'<nav aria-label="Parts">{"".join(links)}<a href="#schemas">schemas</a></nav>'
        f"<article>{''.join(parts)}</article>"
    )


def _groups(document: _Json) -> dict[str, list[tuple[str, str, _Json]]]:
    found: dict[str, list[tuple[str, str, _Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((method, path, operation))
    return found


def _operation(method: str, path: str, operation: _Json) -> str:
    name = escape(operation["operationId"])
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span>'
        f'<code>{escape(path)}</code><span class="quiet">{_prose(operation["summary"])}</span>'
        f'</summary><div class="inside" id="{name}">{"".join(_inside(operation))}</div></details>'
    )


def _inside(operation: _Json) -> Iterator[str]:
    if "description" in operation:
        yield f"<p>{_prose(operation['description'])}</p>"
    if parameters := operation.get("parameters"):
        yield "<h3>Parameters</h3>"
        yield _table(
            (
                _name(each["name"], required=each.get("required", False)),
                f"{_kind(each['schema'])}, {escape(each['in'])}",
                _about({**each["schema"], **each}),
            )
            for each in parameters
        )
    if body := operation.get("requestBody"):
        yield f"<h3>Body</h3><p>{_contents(body)}</p>"
    yield "<h3>Answers</h3>"
    yield _table(
        (
            f'<span class="status s{status[0]}">{escape(status)}</span>',
            _contents(answer),
            "" if answer["description"] == _UNSAID else _prose(answer["description"]),
        )
        for status, answer in operation["responses"].items()
    )


def _contents(body: _Json) -> str:
    """Its schemas, each with its media type where that is not plain from the schema."""
    return "<br>".join(
        " ".join(
            part
            for part in (
                _kind(content.get("schema", {})),
                "" if kind in _PLAIN else f'<code class="quiet">{escape(kind)}</code>',
            )
            if part
        )
        for kind, content in body.get("content", {}).items()
    )


def _schema(name: str, schema: _Json) -> str:
    required = schema.get("required", ())
    rows = [
        (_name(field, required=field in required), _kind(each), _about(each))
        for field, each in schema.get("properties", {}).items()
    ]
    about = schema.get("description", "")
    first = re.split(r"\. |\n", about)[0].removesuffix(".")
    more = f"<p>{_prose(about)}</p>" if len(about) > len(first) + 1 else ""
    return (
        f"<details><summary><code>{escape(name)}</code>"
        f'<span class="quiet">{_prose(first)}</span></summary>'
        f'<div class="inside" id="schema-{escape(name)}">{more}'
        f"{_table(rows) or f'<p>{_kind(schema)}</p>'}</div></details>"
    )


def _name(name: str, *, required: bool) -> str:
    mark = '<sup title="required">*</sup>' if required else ""
    return f"<code>{escape(name)}</code>{mark}"


def _kind(schema: _Json) -> str:
    """A type in a few words, with a link where it is one of ours."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(map(_kind, choices)))
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in values)
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(of := schema.get("additionalProperties"), dict) and of:
        return f"object of {_kind(of)}"
    return escape(f"{kind}, {schema['format']}" if "format" in schema else kind)


def _about(schema: _Json) -> str:
    words = [_prose(schema["description"])] if "description" in schema else []
    for key, said in (("minimum", "from"), ("maximum", "to"), ("maxItems", "at most")):
        if key in schema:
            words.append(f"{said} {schema[key]}")
    if schema.get("default") not in (None, {}, []):
        words.append(f"default <code>{escape(json.dumps(schema['default']))}</code>")
    if examples := schema.get("examples"):
        words.append(f'<code class="quiet">{escape(json.dumps(examples[0]))}</code>')
    return ", ".join(words)


def _prose(text: str) -> str:
    """A docstring: what stands in backticks is code, an empty line begins a paragraph."""
    marked = re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text.strip()))
    return re.sub(r"\n\s*\n", "<br><br>", marked)


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><tbody>{body}</tbody></table>" if body else ""
