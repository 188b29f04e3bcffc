"""Shows a site on this computer alone, with the headers that a browser wants for threads."""

from __future__ import annotations

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["HEADERS", "open_server"]

HEADERS = {
    # Together they make a page crossOriginIsolated: threads share memory only there.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Also for workers, which a policy inside of the page does not bind.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_LOOPBACK = "127.0.0.1"


_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
"""Whatever the machine says of them: a browser runs no module of another type."""


class _Handler(SimpleHTTPRequestHandler):
    def guess_type(self, path: str | os.PathLike[str]) -> str:
        return _TYPES.get(Path(path).suffix, "application/octet-stream")

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        # No page of this site needs it.
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing of every request."""


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the files of a folder that answers this computer only.

    Args:
        folder: with the site.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    handler = partial(_Handler, directory=str(folder))
    return ThreadingHTTPServer((_LOOPBACK, port), handler)
