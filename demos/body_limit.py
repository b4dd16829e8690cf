"""A limit on what may be sent to the demo. Gradio itself limits uploads only."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY = 6 << 20  # bytes; the longest piece of a microphone takes 5.2 million
UPLOADS = ("/gradio_api/upload", "/upload")


class BodyLimit:
    """Refuses a request whose body is over MAX_BODY or of unknown length, before reading it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or have it answered."""
        app = self._app
        if scope["type"] == "http" and scope["path"] not in UPLOADS:
            headers = Headers(scope=scope)
            if "transfer-encoding" in headers:
                app = PlainTextResponse("say how long it is", 411)
            elif int(headers.get("content-length", 0)) > MAX_BODY:
                app = PlainTextResponse(f"over the limit of {MAX_BODY} bytes", 413)
        await app(scope, receive, send)
