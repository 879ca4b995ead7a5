"""Signing in: ``/v1/auth/login``, ``/token``, ``/me`` and the keys that verify our tokens."""
