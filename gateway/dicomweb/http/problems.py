"""Errors as problem documents (RFC 9457): what is wrong and what to do, no patient data."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from uuid import uuid4

from werkzeug.exceptions import HTTPException

from gateway.core.errors import GatewayError, Unavailable

RETRY_AFTER_S = "5"
"""Seconds after which what is not available now may be."""

_TOLD = ("Allow", "Content-Range")
"""Headers of the framework's errors that say what would be possible."""

_log = logging.getLogger(__name__)

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status line, headers and body."""


def problem(error: Exception) -> Answer:
    """Return the answer that tells of an error; of the unexpected, nothing inside is shown."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    if not isinstance(error, GatewayError):
        occurrence = uuid4().urn
        _log.error("unexpected error", exc_info=error, extra={"fields": {"instance": occurrence}})
        error = GatewayError(
            "An unexpected error; the log of the server says more.", instance=occurrence
        )
    status, headers, body = _document(
        error.code, error.title, error.http_status, error.detail, **error.context
    )
    if isinstance(error, Unavailable):
        headers.append(("Retry-After", RETRY_AFTER_S))
    return status, headers, body


def _http_problem(error: HTTPException) -> Answer:
    """Tell of what the framework refused, such as an unknown path or method."""
    code = error.code or 500
    name = error.name.lower().replace(" ", "-")
    status, headers, body = _document(name, error.name, code, error.description or error.name)
    kept = [header for header in error.get_headers() if header[0] in _TOLD]
    return status, headers + kept, body


def _document(code: str, title: str, status: int, detail: str, **context: str | int) -> Answer:
    document = {
        "type": f"urn:slidegate:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        **context,
    }
    body = json.dumps(document).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    return f"{status} {HTTPStatus(status).phrase}", headers, body
