"""The studio: a page, and the few files that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, Response

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FIRST = "index.html"

router = APIRouter(include_in_schema=False)


def _give(content: bytes, media_type: str) -> Callable[[], Response]:
    def give() -> Response:
        return Response(content, media_type=media_type)

    return give


for _file in files("soundwright.serving").joinpath("studio").iterdir():
    if PurePath(_file.name).suffix in MEDIA_TYPES:
        _address = "/" if _file.name == FIRST else f"/{_file.name}"
        router.add_api_route(
            _address,
            _give(_file.read_bytes(), MEDIA_TYPES[PurePath(_file.name).suffix]),
            methods=["GET"],
        )
