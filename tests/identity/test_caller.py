"""Roles, and what a caller may see."""

import pytest

from imagewarden.identity.caller import Caller, Grant
from imagewarden.identity.roles import Role

ADMIN, OPERATOR, VIEWER = Role.ADMIN, Role.OPERATOR, Role.VIEWER
ORDER = [
    (ADMIN, ADMIN, True),
    (ADMIN, OPERATOR, True),
    (ADMIN, VIEWER, True),
    (OPERATOR, ADMIN, False),
    (OPERATOR, OPERATOR, True),
    (OPERATOR, VIEWER, True),
    (VIEWER, ADMIN, False),
    (VIEWER, OPERATOR, False),
    (VIEWER, VIEWER, True),
]


@pytest.mark.parametrize(("held", "asked", "enough"), ORDER)
def test_order_of_roles(held: Role, asked: Role, *, enough: bool) -> None:
    assert held.at_least(asked) is enough


def caller(*grants: Grant, scope: str | None = None) -> Caller:
    return Caller("u", "user", "d", "domain", grants, scope)


def test_role_is_the_greatest_in_the_project() -> None:
    found = caller(Grant("p", "1", VIEWER), Grant("p", "2", OPERATOR), Grant("q", "*", ADMIN))
    assert found.role_in("p") is OPERATOR
    assert found.role_in("q") is ADMIN
    assert found.role_in("r") is None


def test_scope_limits_everything() -> None:
    found = caller(Grant("p", "*", ADMIN), Grant("q", "*", ADMIN), scope="p")
    assert found.role_in("p") is ADMIN
    assert found.role_in("q") is None
    assert found.enterprise_projects("p") is None
    assert found.enterprise_projects("q") == frozenset()


def test_scope_does_not_give_a_role() -> None:
    assert caller(scope="p").role_in("p") is None


ENTERPRISE_PROJECTS = [
    ((), frozenset()),
    ((Grant("p", "1", VIEWER),), frozenset({"1"})),
    ((Grant("p", "1", VIEWER), Grant("p", "0", ADMIN), Grant("q", "2", ADMIN)), frozenset({"0", "1"})),
    ((Grant("p", "1", VIEWER), Grant("p", "*", VIEWER)), None),
    ((Grant("q", "*", VIEWER),), frozenset()),
]


@pytest.mark.parametrize(("grants", "expected"), ENTERPRISE_PROJECTS)
def test_enterprise_projects(grants: tuple[Grant, ...], expected: frozenset[str] | None) -> None:
    assert caller(*grants).enterprise_projects("p") == expected
