"""Vectors as OpenAI's clients read them."""

import base64
import struct


def pack(values: list[float]) -> str:
    """Little-endian float32 in base64, as OpenAI's clients ask for it."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
