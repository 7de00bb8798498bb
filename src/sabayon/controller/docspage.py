"""The description of an API as a page: each operation with its parameters and answers. No scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sabayon.controller.apischemas import Schema

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
summary code {{ font-size: 1rem }}
details {{ margin: .25rem 0 }}
table {{ border-collapse: collapse; margin: .5rem 1rem }}
td, th {{ text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top }}
</style>
<h1>{title}</h1>
<p>{description} Version {version}.</p>
{operations}
</html>
"""


def docs_page(description: Schema) -> str:
    """`description`, a Swagger document, as HTML."""
    info = {key: escape(value) for key, value in description["info"].items()}
    return _PAGE.format(**info, operations="\n".join(_operations(description)))


def _operations(description: Schema) -> Iterator[str]:
    tag = ""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            [own_tag] = operation.get("tags", [""])
            if own_tag != tag:
                tag = own_tag
                yield f"<h2>{escape(tag)}</h2>"
            yield _operation(method, description["basePath"].rstrip("/") + path, operation)


def _operation(method: str, path: str, operation: Schema) -> str:
    parameters = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
    answers = "".join(
        _row(f"<code>{escape(status)}</code>", escape(answer["description"]))
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<table>{parameters}</table><table>{answers}</table></details>"
    )


def _parameter(parameter: Schema) -> str:
    needed = "required" if parameter.get("required") else ""
    kind = parameter.get("type") or parameter.get("schema", {}).get("$ref", "").rpartition("/")[2] or "JSON"
    return _row(f"<code>{escape(parameter['name'])}</code>", escape(parameter["in"]), escape(kind), needed)


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
