"""Who is asking, and what they may see."""

import msgspec

from imagewarden.identity.roles import Role

__all__ = ["EVERY_ENTERPRISE_PROJECT", "Caller", "Grant"]

EVERY_ENTERPRISE_PROJECT = "*"
"""In a grant: every enterprise project of the domain, those to come included."""


class Grant(msgspec.Struct, frozen=True):
    """One role in one project."""

    project_id: str
    """The project."""
    enterprise_project_id: str
    """The enterprise project it is limited to, `*` for every one."""
    role: Role
    """The role."""


class Caller(msgspec.Struct, frozen=True):
    """An authenticated user, with the grants in enabled projects."""

    user_id: str
    """Id of the user."""
    user_name: str
    """Name of the user."""
    domain_id: str
    """Id of the user's domain."""
    domain_name: str
    """Name of the user's domain."""
    grants: tuple[Grant, ...]
    """All roles in enabled projects."""
    scope_project_id: str | None = None
    """The one project a token is good for; None for the whole domain."""

    def role_in(self, project_id: str) -> Role | None:
        """Return the greatest role in a project, None where the caller has nothing to do there."""
        if self.scope_project_id not in (None, project_id):
            return None
        held = [grant.role for grant in self.grants if grant.project_id == project_id]
        if len(held) < 2:
            return held[0] if held else None
        return next(role for role in Role if role in held)

    def enterprise_projects(self, project_id: str) -> frozenset[str] | None:
        """Return the enterprise projects whose rows the caller sees in a project, None for all of them.

        Empty where the caller has nothing to do.
        """
        if self.scope_project_id not in (None, project_id):
            return frozenset()
        ids = frozenset(grant.enterprise_project_id for grant in self.grants if grant.project_id == project_id)
        return None if EVERY_ENTERPRISE_PROJECT in ids else ids
