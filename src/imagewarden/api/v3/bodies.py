"""Bodies of the token operations (contract: auth-and-errors, section a)."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = [
    "Auth",
    "CatalogEntry",
    "Endpoint",
    "InDomain",
    "Named",
    "NamedDomain",
    "ScopeProject",
    "TokenAnswer",
    "TokenBody",
    "TokenRequest",
    "shown_time",
]

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[^\\x00]*$")]
Password = Annotated[str, Meta(min_length=1, max_length=128)]


class NamedDomain(msgspec.Struct, frozen=True):
    """A domain by name or id."""

    name: Name | None = None
    """Its name."""
    id: Name | None = None
    """Its id."""


class PasswordUser(msgspec.Struct, frozen=True):
    """The user who logs in."""

    name: Name
    """Name of the user."""
    password: Password
    """Its password."""
    domain: NamedDomain
    """Its domain."""


class PasswordMethod(msgspec.Struct, frozen=True):
    """Login by password."""

    user: PasswordUser
    """Who."""


class Identity(msgspec.Struct, frozen=True):
    """How to log in."""

    methods: Annotated[list[str], Meta(min_length=1, max_length=4)]
    """Names of the methods; `password` alone is served."""
    password: PasswordMethod
    """The password method's part."""


class ScopeProject(msgspec.Struct, frozen=True):
    """A project by id or name."""

    id: Name | None = None
    """Its id."""
    name: Name | None = None
    """Its name."""
    domain: NamedDomain | None = None
    """Its domain; the user's without it."""


class Scope(msgspec.Struct, frozen=True):
    """What the token is to be good for; a project, or the whole domain."""

    project: ScopeProject | None = None
    """One project."""
    domain: NamedDomain | None = None
    """The domain."""


class Auth(msgspec.Struct, frozen=True):
    """A login."""

    identity: Identity
    """Who."""
    scope: Scope | None = None
    """What for; the domain without it."""


class TokenRequest(msgspec.Struct, frozen=True):
    """Body of POST /v3/auth/tokens."""

    auth: Auth
    """The login."""


class Named(msgspec.Struct, frozen=True):
    """Something with an id and a name."""

    id: str
    """Its id."""
    name: str
    """Its name."""


class InDomain(msgspec.Struct, frozen=True):
    """Something with an id and a name in a domain."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    domain: Named
    """Its domain."""
    password_expires_at: str | UnsetType = UNSET
    """Users only; empty: passwords do not expire."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a service answers."""

    id: str
    """Id of the endpoint."""
    url: str
    """Its address."""
    region: str
    """Name of the region."""
    region_id: str
    """The same."""
    interface: str = "public"
    """Always `public`."""


class CatalogEntry(msgspec.Struct, frozen=True):
    """One service of the catalogue."""

    id: str
    """Id of the service."""
    type: str
    """`identity` or `hss`."""
    name: str
    """The same."""
    endpoints: list[Endpoint]
    """Where it answers."""


class TokenBody(msgspec.Struct, frozen=True):
    """What a token is good for."""

    issued_at: str
    """UTC."""
    expires_at: str
    """UTC."""
    methods: list[str]
    """How the user logged in."""
    user: InDomain
    """Who."""
    roles: list[Named]
    """Roles in the project of the scope."""
    catalog: list[CatalogEntry]
    """Services; empty with nocatalog."""
    project: InDomain | UnsetType = UNSET
    """The project of the scope."""
    domain: Named | UnsetType = UNSET
    """The domain, for a token without a project."""


class TokenAnswer(msgspec.Struct, frozen=True):
    """Body of the answers about a token."""

    token: TokenBody
    """The token."""


def shown_time(milliseconds: int) -> str:
    """Return a time as identity bodies show it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
