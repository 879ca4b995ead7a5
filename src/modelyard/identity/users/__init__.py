"""Users and service accounts at ``/v1/auth/users``: who somebody is, and their roles."""

from modelyard.identity.users.methods import admit, grantable
from modelyard.identity.users.schema import User
from modelyard.kernel.custom import Singleton
from modelyard.kernel.resource import Resource

users = Resource(
    "/auth/users",
    User,
    tag="Identity",
    filterable=("kind", "login", "roles", "disabled", "attributes.department"),
    sortable=("login", "display_name"),
    searchable=("login", "display_name"),
    unique=("login",),
    singletons={
        "roles": Singleton(fields=("roles", "attributes"), permission="role:write", check=grantable)
    },
    admit=admit,
    soft_delete=True,
    examples={
        "request": {
            "login": "ada@example.com",
            "display_name": "Ada",
            "password": "correct horse battery staple",
        }
    },
)
