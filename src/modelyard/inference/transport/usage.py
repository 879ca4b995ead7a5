"""What a pool does."""

from msgspec import Struct


class Usage(Struct, frozen=True):
    """What the connections to an origin do at the moment."""

    busy: int = 0  # those being opened included
    idle: int = 0
    waiting: int = 0  # calls without a connection
