"""Ports of this machine."""

from __future__ import annotations

import os
import socket

from soundwright.core.errors import UserError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_packages(what: str) -> None:
    """See that the extra `serve` is installed.

    Args:
        what: Needs it, such as "The page of a study".

    Raises:
        UserError: It is not.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{what} needs packages that are not installed.",
            change="pip install 'soundwright[serve]'",
        ) from error


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
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise UserError(
            f"{host}:{port} cannot be used: {error.strerror or error}.",
            expected="a free port on an address of this machine",
            change="Choose another with --port, or end what uses it.",
        ) from error
    return listener


def address_of(listener: socket.socket, host: str) -> str:
    """The address of a page on a port, as a browser takes it."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"
