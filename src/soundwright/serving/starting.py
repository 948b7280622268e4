"""Starting a server on a port of this machine."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from types import FrameType

from soundwright.core.locking import lock_folder
from soundwright.serving.config import ServingConfig
from soundwright.web.ports import LOOPBACK, check_packages

TOKEN_VARIABLE = "SOUNDWRIGHT_TOKEN"


SWITCH_S = 0.0005


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settle_access(config: ServingConfig, host: str) -> ServingConfig:
    """A configuration for an address: a token where others reach it, names where they do not.

    Args:
        config: As it was asked for.
        host: On which the server will listen.
    """
    if is_local(host):
        names = (*LOOPBACK, f"[{LOOPBACK[1]}]", host.lower(), *config.hosts)
        return config.model_copy(update={"hosts": tuple(dict.fromkeys(names))})
    token = config.token or secrets.token_urlsafe(24)
    return config.model_copy(update={"token": token})


def check_models(config: ServingConfig) -> None:
    """See that what is to be offered is there, before any of it is loaded.

    Raises:
        UserError: It is not, or makes no sounds.
    """
    from soundwright.serving.accepting import find_record

    for name in config.models:
        find_record(name)


def serve(
    config: ServingConfig, listener: socket.socket, announce: Callable[[], None] = lambda: None
) -> None:
    """Serve until interrupted; what was accepted and is not done is done after the next start.

    Args:
        config: From `settle_access`.
        listener: From `web.ports.listen`; closed at the end.
        announce: Called when nothing stands in the way any more.

    Raises:
        UserError: The extra `serve` is not installed, another server works on the same folder, or
            that cannot be used.
    """
    check_packages("Serving")
    import uvicorn

    from soundwright.serving.app import create_app
    from soundwright.serving.workers import LocalWorker

    workers = [LocalWorker(device, config.dtype) for device in config.devices]
    with closing(listener), lock_folder(config.state):
        app = create_app(config, workers)
        announce()
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(config.grace) or 1,
        )
        server = uvicorn.Server(settings)
        leave = server.handle_exit

        def handle_exit(sig: int, frame: FrameType | None) -> None:
            app.state.context.engine.lives.end()
            leave(sig, frame)

        server.handle_exit = handle_exit
        # A request changes threads several times, and each change may take this long.
        sys.setswitchinterval(SWITCH_S)
        server.run(sockets=[listener])
