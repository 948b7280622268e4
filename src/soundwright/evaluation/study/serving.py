"""Running the study's page on a port of this machine."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.evaluation.study.sessions import Sessions


def serve_study(sessions: Sessions, listener: socket.socket) -> None:
    """Serve until interrupted.

    Args:
        sessions: The running study.
        listener: From `listen`; closed at the end.
    """
    import uvicorn

    from soundwright.evaluation.study.app import create_app

    # Without an access log: addresses of raters are written nowhere.
    config = uvicorn.Config(create_app(sessions), log_level="warning", access_log=False)
    with closing(listener):
        uvicorn.Server(config).run(sockets=[listener])


def open_sessions(folder: Path) -> Sessions:
    """The running study of a folder.

    Raises:
        UserError: As `Sessions`, or the extra `serve` is not installed.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            "The page of a study needs packages that are not installed.",
            change="pip install 'soundwright[serve]'",
        ) from error
    return Sessions(folder)


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 is any free one.

    Raises:
        UserError: It is in use, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        # A restart finds its port free at once; on Windows this would let two servers share it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"{host}:{port} cannot be used: {error.strerror or error}.",
            expected="a free port on an address of this machine",
            change="Choose another with --port, or end what uses it.",
        ) from error
    return listener
