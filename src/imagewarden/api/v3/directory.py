"""Projects and domains of the caller: how clients find what they were not told."""

from typing import Any, TypeVar

import msgspec
from litestar import Request, Response, get

from imagewarden.api.authentication import caller_of
from imagewarden.api.gate import request_id_of
from imagewarden.api.operation import operation
from imagewarden.api.parameters import Parameter, Text, parse_query
from imagewarden.api.services import Services
from imagewarden.identity import directory

__all__ = ["list_domains", "list_projects"]

_T = TypeVar("_T")
_NAME = Parameter("name", Text(1, 64), "projects of this name only")


class Links(msgspec.Struct, frozen=True):
    """Links of a list or an entry."""

    self: str
    """Address of what is shown."""
    next: str | None = None
    """Always absent: lists come whole."""
    previous: str | None = None
    """Always absent."""


class ProjectEntry(msgspec.Struct, frozen=True):
    """A project of the caller's."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    domain_id: str
    """Its domain."""
    parent_id: str
    """Its domain again: projects are not nested."""
    description: str
    """Free text."""
    enabled: bool
    """Whether it can be used."""
    is_domain: bool
    """Always false."""
    links: Links
    """Its address."""


class ProjectList(msgspec.Struct, frozen=True):
    """Answer of the list of projects."""

    projects: list[ProjectEntry]
    """Projects in which the caller has a role."""
    links: Links
    """Address of the list."""


class DomainEntry(msgspec.Struct, frozen=True):
    """The caller's domain."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    description: str
    """Free text."""
    enabled: bool
    """Whether it can be used."""
    links: Links
    """Its address."""


class DomainList(msgspec.Struct, frozen=True):
    """Answer of the list of domains."""

    domains: list[DomainEntry]
    """The caller's own."""
    links: Links
    """Address of the list."""


def _answer(request: Request[Any, Any, Any], content: _T) -> Response[_T]:
    """Return an answer with the header that the official clients quote when they cannot use the list."""
    return Response(content, headers={"X-IAM-Trace-Id": request_id_of(request.scope)})


@get("/v3/projects", name="ListProjects", opt=operation(tag="identity", parameters=(_NAME,), response=ProjectList))
async def list_projects(request: Request[Any, Any, Any]) -> Response[ProjectList]:
    """List the projects in which the caller has a role."""
    services: Services = request.app.state.services
    caller = caller_of(request.scope)
    name = parse_query(request.scope["query_string"], (_NAME,))["name"]
    async with services.reader.connect() as connection:
        known = await directory.list_projects(connection, caller.domain_id)
    base = f"{str(request.base_url).rstrip('/')}/v3/projects"
    entries = [
        ProjectEntry(
            each.id, each.name, each.domain_id, each.domain_id, each.description, each.enabled,
            is_domain=False, links=Links(f"{base}/{each.id}"),
        )
        for each in known
        if caller.role_in(each.id) is not None and name in (None, each.name)
    ]  # fmt: skip
    return _answer(request, ProjectList(entries, Links(base)))


@get("/v3/auth/domains", name="ListAuthDomains", opt=operation(tag="identity", response=DomainList))
async def list_domains(request: Request[Any, Any, Any]) -> Response[DomainList]:
    """List the caller's domain."""
    caller = caller_of(request.scope)
    base = f"{str(request.base_url).rstrip('/')}/v3"
    entry = DomainEntry(
        caller.domain_id, caller.domain_name, "", enabled=True, links=Links(f"{base}/domains/{caller.domain_id}")
    )
    return _answer(request, DomainList([entry], Links(f"{base}/auth/domains")))
