"""What a client presented to say who it is: a secret key or a token, wherever it was put."""

from collections.abc import Mapping


def presented(fields: Mapping[bytes, bytes]) -> str | None:
    """The key or token in a request's header fields (names in lower case), None without any.

    ``Authorization: Bearer`` comes before ``X-API-Key``, and that before Google's name of it;
    another scheme is not looked at.
    """
    value = fields.get(b"authorization")
    if value is not None:
        scheme, _, secret = value.partition(b" ")
        if scheme.lower() == b"bearer":
            return secret.strip().decode("latin-1")
    value = fields.get(b"x-api-key", fields.get(b"x-goog-api-key"))
    return None if value is None else value.decode("latin-1")


def presented_for_serving(fields: Mapping[bytes, bytes]) -> str | None:
    """As ``presented``, where models are called: ``X-Model-Key`` counts there, after the others."""
    secret = presented(fields)
    if secret is None:
        value = fields.get(b"x-model-key")
        return None if value is None else value.decode("latin-1")
    return secret
