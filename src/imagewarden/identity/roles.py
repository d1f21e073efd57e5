"""What a user may do in a project."""

from enum import StrEnum

__all__ = ["Role"]


class Role(StrEnum):
    """Roles, the greatest first; each may do all that the next one may."""

    ADMIN = "admin"
    """Everything, users and keys of the project included."""
    OPERATOR = "operator"
    """Registries, synchronisation and scans."""
    VIEWER = "viewer"
    """Look."""

    def at_least(self, other: "Role") -> bool:
        """Return whether this role may do all that `other` may."""
        order = list(Role)
        return order.index(self) <= order.index(other)
