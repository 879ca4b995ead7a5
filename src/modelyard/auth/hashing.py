"""The slow hash of passwords (argon2id, RFC 9106): the library is loaded with this module."""

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)


def hashed(password: str) -> str:
    """The hash to be kept (PHC string), with a salt of its own."""
    return _hasher.hash(password)


def matches(kept: str, password: str) -> bool:
    """Whether ``kept`` is a hash of ``password``."""
    try:
        return _hasher.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters, or is none."""
    try:
        return _hasher.check_needs_rehash(kept)
    except InvalidHashError:
        return True
