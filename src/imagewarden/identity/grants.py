"""One statement's part that every authentication shares: the user with all grants."""

import time
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, select

from imagewarden.identity.caller import Caller, Grant
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import domain, project, role_assignment, user_account

__all__ = ["caller_from", "now_ms", "select_user"]


def now_ms() -> int:
    """Return the time, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def _grants() -> ColumnElement[Any]:
    """Return the grants of the user at hand in enabled projects, as a JSON array of arrays."""
    return (
        select(
            func.coalesce(
                func.jsonb_agg(
                    func.jsonb_build_array(
                        role_assignment.c.project_id, role_assignment.c.enterprise_project_id, role_assignment.c.role
                    )
                ),
                func.jsonb_build_array(),
            )
        )
        .select_from(
            role_assignment.join(project, and_(role_assignment.c.project_id == project.c.id, project.c.enabled))
        )
        .where(role_assignment.c.user_id == user_account.c.id)
        .scalar_subquery()
    )


def select_user(*columns: ColumnElement[Any]) -> Select[Any]:
    """Return a SELECT of a user's id, name, domain, grants and whether it is enabled, then `columns`.

    Join and filter it further; whether the user is enabled is the caller's to check.
    """
    return select(
        user_account.c.id.label("user_id"),
        user_account.c.name.label("user_name"),
        domain.c.id.label("domain_id"),
        domain.c.name.label("domain_name"),
        _grants().label("grants"),
        user_account.c.enabled.label("user_enabled"),
        *columns,
    ).join_from(user_account, domain, user_account.c.domain_id == domain.c.id)


def caller_from(row: Row[Any], scope_project_id: str | None) -> Caller:
    """Return the caller that a row of `select_user` describes."""
    grants = tuple(Grant(project_id, part, Role(role)) for project_id, part, role in row.grants)
    return Caller(row.user_id, row.user_name, row.domain_id, row.domain_name, grants, scope_project_id)
