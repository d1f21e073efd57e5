"""Tokens: `/v3/auth/tokens`."""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, delete, get, post
from msgspec import UNSET

from imagewarden.api.authentication import caller_of
from imagewarden.api.errors import InvalidParameter, NoSuchApi
from imagewarden.api.gate import body_of
from imagewarden.api.operation import operation
from imagewarden.api.parameters import Flag, Parameter, parse_query
from imagewarden.api.services import Services
from imagewarden.api.v3.bodies import (
    CatalogEntry,
    Endpoint,
    InDomain,
    Named,
    TokenAnswer,
    TokenBody,
    TokenRequest,
    shown_time,
)
from imagewarden.api.v3.login import log_in, parse_login
from imagewarden.identity import tokens
from imagewarden.identity.errors import NotAuthenticated
from imagewarden.identity.login import LoginProject, describe_project
from imagewarden.identity.tokens import TokenCaller

__all__ = ["create_token", "revoke_token", "validate_token"]

_NO_CATALOG = Parameter("nocatalog", Flag(), "leave the catalogue of services empty", default=False)
_SUBJECT = "X-Subject-Token"


def _catalog(request: Request[Any, Any, Any], services: Services, project: LoginProject | None) -> list[CatalogEntry]:
    """Return where this server answers, as the client reached it."""
    base, region = str(request.base_url).rstrip("/"), services.settings.region
    urls = {"identity": f"{base}/v3"}
    if project is not None:
        urls["hss"] = f"{base}/v5/{project.id}"
    return [
        CatalogEntry(name, name, name, [Endpoint(f"{name}-{region}", url, region, region)])
        for name, url in urls.items()
    ]


def _answer(found: TokenCaller, project: LoginProject | None, catalog: list[CatalogEntry]) -> TokenAnswer:
    """Return what a token is good for."""
    caller = found.caller
    domain = Named(caller.domain_id, caller.domain_name)
    held = {str(grant.role) for grant in caller.grants if project and grant.project_id == project.id}
    return TokenAnswer(
        TokenBody(
            issued_at=shown_time(found.issued_at),
            expires_at=shown_time(found.expires_at),
            methods=list(found.methods),
            user=InDomain(caller.user_id, caller.user_name, domain, password_expires_at=""),
            roles=[Named(role, role) for role in sorted(held)],
            catalog=catalog,
            project=UNSET
            if project is None
            else InDomain(project.id, project.name, Named(project.domain_id, project.domain_name)),
            domain=domain if project is None else UNSET,
        )
    )


@post(
    "/v3/auth/tokens",
    name="CreateToken",
    status_code=201,
    opt=operation(
        tag="identity", public=True, parameters=(_NO_CATALOG,), request=TokenRequest, response=TokenAnswer, status=201
    ),
)
async def create_token(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Log in with a password; the token is in the header X-Subject-Token."""
    services: Services = request.app.state.services
    values = parse_query(request.scope["query_string"], (_NO_CATALOG,))
    caller, project = await log_in(services.engine, parse_login(body_of(request.scope)))
    async with services.engine.begin() as connection:
        issued = await tokens.issue_token(
            connection, caller.user_id, project.id if project else None, services.settings.token_lifetime
        )
    found = TokenCaller(caller, ("password",), issued.issued_at, issued.expires_at)
    answer = _answer(found, project, [] if values["nocatalog"] else _catalog(request, services, project))
    return Response(
        msgspec.json.encode(answer), status_code=201, media_type=MediaType.JSON, headers={_SUBJECT: issued.text}
    )


async def _described(request: Request[Any, Any, Any]) -> tuple[TokenCaller, LoginProject | None]:
    """Return the token of X-Subject-Token; one of another user is as good as none."""
    services: Services = request.app.state.services
    text = request.headers.get(_SUBJECT)
    if not text:
        raise InvalidParameter(_SUBJECT, "", "a token in the request header of this name")
    try:
        async with services.reader.connect() as connection:
            found = await tokens.describe_token(connection, text)
            if found.caller.user_id != caller_of(request.scope).user_id:
                raise NoSuchApi("no such token")
            scope = found.caller.scope_project_id
            project = await describe_project(connection, scope) if scope else None
    except NotAuthenticated:
        raise NoSuchApi("no such token") from None
    return found, project


@get(
    "/v3/auth/tokens",
    name="ValidateToken",
    opt=operation(tag="identity", parameters=(_NO_CATALOG,), headers=(_SUBJECT,), response=TokenAnswer),
)
async def validate_token(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Say what the token in X-Subject-Token is good for."""
    values = parse_query(request.scope["query_string"], (_NO_CATALOG,))
    found, project = await _described(request)
    services: Services = request.app.state.services
    catalog = [] if values["nocatalog"] else _catalog(request, services, project)
    return Response(
        msgspec.json.encode(_answer(found, project, catalog)),
        media_type=MediaType.JSON,
        headers={_SUBJECT: request.headers[_SUBJECT]},
    )


@delete(
    "/v3/auth/tokens",
    name="RevokeToken",
    status_code=204,
    opt=operation(tag="identity", headers=(_SUBJECT,), status=204),
)
async def revoke_token(request: Request[Any, Any, Any]) -> None:
    """Make the token in X-Subject-Token worthless from now on."""
    await _described(request)
    services: Services = request.app.state.services
    async with services.engine.begin() as connection:
        await tokens.revoke_token(connection, request.headers[_SUBJECT])
