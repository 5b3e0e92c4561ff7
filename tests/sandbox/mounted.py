"""The sandbox for requests: an adapter that is mounted on a session."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from rdctl.sandbox.adapter import WsgiAdapter


class Mounted(BaseAdapter):
    """`session.mount("http://oio.sandbox", Mounted(app))`"""

    def __init__(self, *of_adapter: Any) -> None:
        super().__init__()
        self._wsgi = WsgiAdapter(*of_adapter)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body: Any = request.body
        if isinstance(body, str):
            body = body.encode()
        method, url = str(request.method), str(request.url)
        status, reason, headers, data = self._wsgi.call(method, url, request.headers, body)
        response = requests.Response()
        response.request, response.url = request, url
        response.status_code, response.reason = status, reason
        response.headers = CaseInsensitiveDict(headers)
        response.raw = HTTPResponse(BytesIO(data), preload_content=False)
        return response

    def close(self) -> None:
        """Nothing is open."""
