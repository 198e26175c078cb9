"""Errors as problem documents (RFC 9457): what is wrong and what to do, no patient data."""

from __future__ import annotations

import json
from http import HTTPStatus

from gateway.core.errors import GatewayError, Unavailable

_RETRY_AFTER_S = "5"


def problem(error: GatewayError) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return status line, headers and body that tell of an error."""
    document = {
        "type": f"urn:slidegate:{error.code}",
        "title": error.title,
        "status": error.http_status,
        "detail": error.detail,
        **error.context,
    }
    body = json.dumps(document).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    if isinstance(error, Unavailable):
        headers.append(("Retry-After", _RETRY_AFTER_S))
    return f"{error.http_status} {HTTPStatus(error.http_status).phrase}", headers, body
