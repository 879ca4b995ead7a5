"""The socket that a server listens on."""

import socket

from modelyard.settings import Settings


def listen(settings: Settings) -> socket.socket:
    """The listening socket. Raises OSError with what to do."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"port {settings.port} of {settings.host} cannot be used ({error.strerror}). Choose "
            "another with --port or MODELYARD_PORT."
        ) from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def url(settings: Settings, listener: socket.socket) -> str:
    """Where the server can be reached."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"
