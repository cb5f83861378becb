"""The document as one page of HTML: no script, nothing from elsewhere. Pure.

All texts are escaped; of their marks only code, bold and links to shapes are shown.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

Json = Mapping[str, Any]

STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--link:#06c}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem}
@media(prefers-color-scheme:dark){:root{--link:#7bf}}
a{color:var(--link)}
h1,h2,h3{line-height:1.2}
h2{border-bottom:1px solid var(--line);margin-top:3rem}
section.call,section.shape{border:1px solid var(--line);border-radius:6px;margin:1rem 0;
padding:.5rem 1rem}
h3{font-size:1.05rem;overflow-wrap:anywhere}
h4{margin:.8rem 0 .2rem}
.method{border-radius:4px;background:var(--soft);padding:.1rem .4rem;margin-right:.4rem}
code,pre,.method{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.6rem;overflow:auto;border-radius:4px}
table{border-collapse:collapse;width:100%}
td,th{border-top:1px solid var(--line);padding:.25rem .5rem;text-align:left;vertical-align:top}
td:first-child{white-space:nowrap}
nav ul{columns:2;padding-left:1rem}
@media(max-width:50rem){nav ul{columns:1}td:first-child{white-space:normal}}
"""

_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""Content-Security-Policy of the page."""

_METHODS: Final = ("get", "head", "post", "put", "delete")
_REF: Final = "#/components/schemas/"
_LIMITS: Final = {
    "minimum": "from {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "of the form {}",
}


def render(document: Json) -> str:
    """The page."""
    info = document["info"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        _prose(info["description"]),
        '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI '
        f"{escape(document['openapi'])}).</p>",
        *_contents(document),
        *_security(document),
        *_groups(document),
        '<h2 id="shapes">Shapes</h2>',
        *(_shape(name, each) for name, each in sorted(document["components"]["schemas"].items())),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item and item[method]["tags"][0] == tag:
                yield method, path, item[method]


def _contents(document: Json) -> Iterator[str]:
    yield "<nav>"
    for tag in document["tags"]:
        yield f"<h3>{escape(tag['name'])}</h3><ul>"
        for method, path, each in _operations(document, tag["name"]):
            if method != "head":
                name = f"{method.upper()} {path}"
                anchor = escape(each["operationId"])
                summary = escape(each["summary"])
                yield f'<li><a href="#{anchor}">{summary}</a> <code>{escape(name)}</code></li>'
        yield "</ul>"
    yield "</nav>"


def _security(document: Json) -> Iterator[str]:
    yield '<h2 id="access">Who may come in</h2><table>'
    for name, scheme in document["components"]["securitySchemes"].items():
        text = _text(scheme["description"])
        yield f"<tr><td>{_code(name)}</td><td>{text}</td></tr>"
    yield "</table>"


def _groups(document: Json) -> Iterator[str]:
    shared = document["components"]["responses"]
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><p>{_text(tag['description'])}</p>"
        for method, path, each in _operations(document, tag["name"]):
            if method != "head":
                also = "head" in document["paths"][path] and method == "get"
                # A GET says 405 where it is HEAD that it refuses.
                also = also and "405" not in each["responses"]
                yield _call(method, path, each, also, shared)


def _call(method: str, path: str, each: Json, also_head: bool, shared: Json) -> str:
    parts = [
        f'<section class="call" id="{escape(each["operationId"])}">',
        f'<h3><span class="method">{method.upper()}</span><code>{escape(path)}</code></h3>',
        f"<p><strong>{escape(each['summary'])}.</strong> {_text(each['description'])}</p>",
    ]
    if also_head:
        parts.append("<p>HEAD gives the headers alone.</p>")
    parts.append(f"<p>{_needed(each['security'])}</p>")
    if each["parameters"]:
        parts.append("<h4>Parameters</h4><table>")
        parts += map(_parameter, each["parameters"])
        parts.append("</table>")
    if "requestBody" in each:
        parts += _body(each["requestBody"])
    parts.append("<h4>Answers</h4><table>")
    parts += [_answer(status, answer, shared) for status, answer in each["responses"].items()]
    return "\n".join([*parts, "</table>", "</section>"])


def _needed(security: list[Json]) -> str:
    """Which schemes let in."""
    ways = [" and ".join(map(_code, each)) for each in security if each]
    if not ways:
        return "Needs nothing to come in."
    told = f'<a href="#access">Needs</a> {" or ".join(ways)}'
    return told + (", for more to be told." if {} in security else ".")


def _parameter(each: Json) -> str:
    needed = "needed" if each.get("required") else "optional"
    return (
        f"<tr><td><code>{escape(each['name'])}</code><br>{each['in']}, {needed}</td>"
        f"<td>{_kind(each['schema'])}</td><td>{_text(each.get('description', ''))}"
        f"{_first_example(each['schema'])}</td></tr>"
    )


def _body(body: Json) -> Iterator[str]:
    yield f"<h4>Body</h4><p>{_text(body.get('description', ''))}</p>"
    for media, content in body["content"].items():
        yield f"<p>{_code(media)}: {_kind(content['schema'])}</p>"
    first = next(iter(body["content"].values()))
    for name, example in first.get("examples", {}).items():
        yield f"<p>Example: {escape(name)}</p>{_shown(example['value'])}"


def _answer(status: str, answer: Json, shared: Json) -> str:
    if "$ref" in answer:
        answer = shared[answer["$ref"].rpartition("/")[2]]
    content = "".join(
        f"<br>{_code(media)}: {_kind(each['schema'])}"
        for media, each in answer.get("content", {}).items()
    )
    headers = "".join(
        f"<br>{_code(name)}: {_text(each['description'])}"
        for name, each in answer.get("headers", {}).items()
    )
    examples = "".join(
        _shown(each["example"]) for each in answer.get("content", {}).values() if "example" in each
    )
    text = _text(answer["description"])
    return f"<tr><td>{escape(status)}</td><td>{text}{headers}{content}{examples}</td></tr>"


def _shape(name: str, schema: Json) -> str:
    parts = [f'<section class="shape" id="shape-{escape(name)}"><h3>{escape(name)}</h3>']
    if schema.get("description"):
        parts.append(f"<p>{_text(schema['description'])}</p>")
    if "properties" in schema:
        parts.append("<table>")
        for field, each in schema["properties"].items():
            needed = "" if field in schema.get("required", ()) else "<br>optional"
            text = _text(each.get("description", ""))
            parts.append(
                f"<tr><td><code>{escape(field)}</code>{needed}</td><td>{_kind(each)}</td>"
                f"<td>{text}{_first_example(each)}</td></tr>"
            )
        parts.append("</table>")
    else:
        parts.append(f"<p>{_kind(schema)}</p>")
    return "\n".join([*parts, "</section>"])


def _kind(schema: Json) -> str:
    """What values of a schema are, in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REF))
        return f'<a href="#shape-{name}">{name}</a>'
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_kind(each) for each in schema[union]))
    if "enum" in schema:
        return " or ".join(_code(json.dumps(each)) for each in schema["enum"])
    if "const" in schema:
        return _code(json.dumps(schema["const"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        told = f"list of {_kind(schema.get('items', {}))}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        told = f"object of {_kind(schema['additionalProperties'])}"
    elif schema.get("format") == "binary":
        told = "bytes"
    else:
        told = escape(str(kind))
    limits = [
        _text(words.format(f"`{schema[name]}`"))
        for name, words in _LIMITS.items()
        if name in schema
    ]
    return f"{told} ({', '.join(limits)})" if limits else told


def _first_example(schema: Json) -> str:
    examples = schema.get("examples")
    return f" For example {_code(json.dumps(examples[0]))}." if examples else ""


def _shown(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


_BOLD: Final = re.compile(r"\*\*([^*]+)\*\*")
_CODE: Final = re.compile(r"`([^`]+)`")


def _text(text: str) -> str:
    """One paragraph of the document's own prose."""
    marked = _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
    return _BOLD.sub(r"<strong>\1</strong>", marked)


def _prose(text: str) -> str:
    return "\n".join(f"<p>{_text(each)}</p>" for each in text.strip().split("\n\n"))
