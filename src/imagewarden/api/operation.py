"""What every served operation declares: who may call it, what it takes, what it answers."""

from typing import Any

import msgspec

from imagewarden.api.parameters import Parameter
from imagewarden.identity.roles import Role

__all__ = ["Operation", "declared", "operation"]

_KEY = "operation"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of one operation; the gate keeps to it, and the API document is made from it."""

    tag: str
    """Group it belongs to in the API document."""
    public: bool = False
    """Whether it answers without a token or signature."""
    role: Role | None = None
    """Least role in the project of the path; None where the path has no project."""
    parameters: tuple[Parameter, ...] = ()
    """Query parameters."""
    headers: tuple[str, ...] = ()
    """Request headers it reads, beyond the token."""
    request: type | None = None
    """Type of the JSON body; None for no body."""
    response: type | None = None
    """Type of the JSON answer; None for an empty one."""
    media_types: tuple[str, ...] = ()
    """Media types of an answer that is text instead."""
    status: int = 200
    """Status of the answer when all is well."""


def operation(**fields: Any) -> dict[str, Any]:
    """Return a declaration as the `opt` of a route handler; takes the fields of Operation."""
    return {_KEY: Operation(**fields)}


def declared(opt: dict[str, Any]) -> Operation:
    """Return the declaration in a route handler's `opt`; raises KeyError for a handler without one."""
    found: Operation = opt[_KEY]
    return found
