"""Running the study's page on a port of this machine."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from soundwright.evaluation.study.sessions import Sessions
from soundwright.web.ports import check_packages


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
    check_packages("The page of a study")
    return Sessions(folder)
