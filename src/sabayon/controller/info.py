"""The documents that need no key: what this deployment is and offers."""

from __future__ import annotations

from typing import Any, Final

from sabayon import __version__
from sabayon.controller.apidocs import api_description, root_description
from sabayon.controller.docspage import docs_page
from sabayon.controller.http import Response, html_response, json_response, text_response
from sabayon.controller.services import Services
from sabayon.entity.limits import MB

API_PATH: Final = "/api/v1"


def deployment_info(services: Services) -> Response:
    """`GET /`: limits and runtimes, which clients read. Durations in ms, memory and logs in bytes."""
    limits = services.limits
    info: dict[str, Any] = {
        "concurrent_actions": limits.concurrent_invocations,
        "actions_per_minute": limits.invocations_per_minute,
        "triggers_per_minute": limits.fires_per_minute,
        "sequence_length": limits.sequence_length,
    }
    for name, bounds, unit in (
        ("duration", limits.timeout_ms, 1),
        ("memory", limits.memory_mb, MB),
        ("logs", limits.logs_mb, MB),
    ):
        for prefix in ("", "default_"):
            info[f"{prefix}min_action_{name}"] = bounds.minimum * unit
            info[f"{prefix}max_action_{name}"] = bounds.maximum * unit
    return json_response(
        {
            "api_paths": [API_PATH],
            "description": "OpenWhisk",
            "limits": dict(sorted(info.items())),
            "runtimes": services.manifest.families,
            "support": {
                "github": "https://github.com/apache/openwhisk/issues",
                "slack": "http://slack.openwhisk.org",
            },
        }
    )


def api_info() -> Response:
    """`GET /api/v1`."""
    return json_response(
        {
            "api_version": "1.0.0",
            "api_version_path": "v1",
            "build": __version__,
            "buildno": __version__,
            "description": "OpenWhisk API",
            "swagger_paths": {"api-docs": "/api-docs", "ui": "/docs"},
        }
    )


def api_docs() -> Response:
    """`GET /api/v1/api-docs`: the description of the REST API."""
    return json_response(api_description())


def root_docs() -> Response:
    """`GET /api-docs`: the description of `/`."""
    return json_response(root_description())


def root_docs_page() -> Response:
    """`GET /docs/index.html`: the description of `/` for people."""
    return html_response(docs_page(root_description()))


def api_docs_page() -> Response:
    """`GET /api/v1/docs/index.html`: the description of the REST API for people."""
    return html_response(docs_page(api_description()))


def docs_redirect(base: str) -> Response:
    """`GET {base}/docs`: to the page beside it."""
    return Response(308, headers=(("Location", f"docs/index.html?url={base}/api-docs"),))


def pong() -> Response:
    """`GET /ping`."""
    return text_response("pong")
