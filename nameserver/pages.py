"""What a name server says over plain HTTP, to those who bring a token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wsremote.transport.requests import Page

from .metrics import exposition
from .page import overview, prefix_of

if TYPE_CHECKING:
    from .service import Service

__all__ = ["pages_of"]


def pages_of(service: Service, *, secure: bool) -> Mapping[str, Callable[[Any], Page]]:
    """The page functions by path: `/`, `/servers.json` and `/metrics`.

    Args:
        service: Whose servers.
        secure: Whether the port speaks TLS.
    """

    def servers(request: Any) -> Page:
        doubt = service.store.doubt()
        revision, entries = service.store.view.snapshot(prefix_of(request))
        now = time.time()
        content = {
            "revision": revision,
            "servers": [entry.to_wire(now) for entry in entries],
            "doubt": doubt,
        }
        body = json.dumps(content, ensure_ascii=False).encode()
        return Page(200, "application/json; charset=utf-8", body)

    def metrics(request: Any) -> Page:
        try:
            content_type, body = exposition(service)
        except ImportError:
            text = "Metrics need a package here: pip install 'wsremote[metrics]'\n"
            return Page(501, "text/plain; charset=utf-8", text.encode())
        return Page(200, content_type, body)

    return {"/": overview(service, secure=secure), "/servers.json": servers, "/metrics": metrics}
