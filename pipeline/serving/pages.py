"""The two pages for people, which work offline: one to try a cover on, one that lists the API."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

_PAGE = Path(__file__).with_name("page.html")
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def page_routes(name: str, openapi: Callable[[], dict[str, Any]]) -> APIRouter:
    """Returns `/` and `/docs`.

    Args:
        name: the model's name.
        openapi: gives the description of the API.
    """
    routes = APIRouter(include_in_schema=False)
    template = _PAGE.read_text(encoding="utf-8").replace("{{name}}", html.escape(name))
    style = next(found[2] for found in _INLINE.finditer(template) if found[1] == "style")

    @routes.get("/")
    async def page() -> HTMLResponse:
        return _answer(template)

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return _answer(_docs(name, openapi(), style))

    return routes


def _answer(page: str) -> HTMLResponse:
    """Allows the page its own style and script, pictures that it made, and this server."""
    sources: dict[str, list[str]] = {"style": [], "script": []}
    for found in _INLINE.finditer(page):
        digest = base64.b64encode(hashlib.sha256(found[2].encode()).digest()).decode()
        sources[found[1]].append(f"'sha256-{digest}'")
    policy = "; ".join(
        [
            "default-src 'none'",
            *(f"{kind}-src {' '.join(hashes)}" for kind, hashes in sources.items() if hashes),
            "img-src blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(page, headers=headers)


def _docs(name: str, openapi: dict[str, Any], style: str) -> str:
    entries = "".join(_entries(openapi))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(name)}: API</title><style>{style}</style></head><body>"
        f'<main class="wrap"><h1>API</h1><p class="lead">What the model '
        f"<b>{html.escape(name)}</b> can be asked. The same for machines: "
        '<a href="openapi.json">openapi.json</a>. To try a cover: <a href="./">the page</a>.</p>'
        f"{entries}</main></body></html>"
    )


def _entries(openapi: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["Other"])[0]
            by_tag.setdefault(tag, []).append(_entry(method.upper(), path, operation))
    for tag, entries in by_tag.items():
        yield f"<h2>{html.escape(tag)}</h2>{''.join(entries)}"


def _entry(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<h3><code>{method} {html.escape(path)}</code></h3>",
        f"<p>{html.escape(operation.get('summary', ''))}</p>",
    ]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        examples = {name: each["value"] for name, each in content.get("examples", {}).items()}
        if "example" in content:
            examples["example"] = content["example"]
        for name, value in (examples or {"body": "the bytes of an image"}).items():
            text = html.escape(json.dumps(value, indent=2))
            parts.append(f"<p class=hint>{html.escape(f'{media_type}, {name}')}</p>")
            parts.append(f"<pre tabindex=0>{text}</pre>")
    return "".join(parts)
