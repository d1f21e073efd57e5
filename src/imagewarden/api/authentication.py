"""Who is asking: the token or the signature of a request, and the role its operation takes."""

import time

import structlog
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from imagewarden.api.errors import (
    AccessDenied,
    InvalidParameter,
    MethodNotAllowed,
    RoleInsufficient,
    Unauthenticated,
    Unavailable,
)
from imagewarden.api.gate import body_of
from imagewarden.api.operation import declared
from imagewarden.api.services import Services
from imagewarden.identity.accesskeys import authenticate_signature
from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated
from imagewarden.identity.grants import now_ms
from imagewarden.identity.roles import Role
from imagewarden.identity.signature import RequestParts
from imagewarden.identity.tokens import describe_token
from imagewarden.inventory.freshness import DatabaseAway

_LOG = structlog.get_logger(__name__)

__all__ = ["Authentication", "caller_of", "was_checked"]


def caller_of(scope: Scope) -> Caller:
    """Return who is asking; every operation that is not public has a caller."""
    caller: Caller = scope["imagewarden.caller"]  # type: ignore[typeddict-item] # set below
    return caller


def was_checked(scope: Scope) -> bool:
    """Return whether the database was asked for changes since the request arrived."""
    return bool(scope.get("imagewarden.checked"))


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    """Return the values of a header."""
    return [value for key, value in scope["headers"] if key == name]


async def _identify(scope: Scope, services: Services) -> Caller:
    """Return the caller by token, else by signature; raises Unauthenticated."""
    tokens, signatures = _headers(scope, b"x-auth-token"), _headers(scope, b"authorization")
    if len(tokens) > 1 or len(signatures) > 1:
        raise Unauthenticated("more than one X-Auth-Token or Authorization header")
    try:
        if tokens and tokens[0]:
            return await _identify_token(scope, services, tokens[0].decode("latin-1"))
        if signatures:
            parts = RequestParts(
                method=str(scope.get("method", "")),
                raw_path=(scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0],
                raw_query=scope["query_string"],
                headers=list(scope["headers"]),
                body=body_of(scope),
            )
            async with services.engine.begin() as connection:
                return await authenticate_signature(connection, services.vault, parts, int(time.time()))
    except NotAuthenticated as error:
        raise Unauthenticated(str(error)) from None
    raise Unauthenticated("no X-Auth-Token and no Authorization header; get a token at POST /v3/auth/tokens")


async def _identify_token(scope: Scope, services: Services, text: str) -> Caller:
    """Return whose token this is: as known, after a check that nothing has changed; raises NotAuthenticated."""
    identities: int | None = None
    try:
        await services.freshness.check()
        identities = services.freshness.identities
        scope["imagewarden.checked"] = True  # type: ignore[typeddict-unknown-key] # ours
    except DatabaseAway:
        _LOG.debug("the database is away: a token is as it was last known to be")
    found = services.callers.find(text, identities, now_ms())
    if found is None:
        if identities is None:
            raise Unavailable("the database is away; try again", headers={"retry-after": "2"})
        async with services.reader.connect() as connection:
            found = await describe_token(connection, text)
        services.callers.add(text, identities, found)
    return found.caller


def _require_role(caller: Caller, scope: Scope, role: Role) -> None:
    """Raise unless the caller has the role in the project of the path.

    AccessDenied for a project that is not the caller's, in the same words whether it exists or not.
    """
    project_id = str(scope["path_params"]["project_id"])
    if not 1 <= len(project_id) <= 256:
        raise InvalidParameter("project_id", project_id, "1 to 256 characters")
    claimed = [value.decode("latin-1") for value in _headers(scope, b"x-project-id")]
    held = caller.role_in(project_id)
    if held is None or any(name != project_id for name in claimed):
        raise AccessDenied("access denied: these credentials give no access to the project of this request")
    if not held.at_least(role):
        raise RoleInsufficient(f"the role {held} in this project does not allow this; it takes the role {role}")


def _allowed(scope: Scope) -> str:
    """Return the methods of the path at hand, as the Allow header lists them."""
    routes = scope["litestar_app"].routes
    found = next((route for route in routes if route.path_format == scope["path_template"]), None)
    return ", ".join(sorted(found.methods - {"OPTIONS"})) if isinstance(found, HTTPRoute) else ""


class Authentication(ASGIMiddleware):
    """Litestar middleware: an operation that is not declared public is reached by a known caller only."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Identify the caller and check its role, as the operation declares."""
        if scope.get("method") == "OPTIONS":
            # Litestar answers these by itself, for every path; nothing here is asked across origins.
            raise MethodNotAllowed("this path takes another method", headers={"allow": _allowed(scope)})
        asked = declared(scope["route_handler"].opt)
        if not asked.public:
            caller = await _identify(scope, scope["litestar_app"].state.services)
            scope["imagewarden.caller"] = caller  # type: ignore[typeddict-unknown-key] # ours
            if asked.role is not None:
                _require_role(caller, scope, asked.role)
        await next_app(scope, receive, send)
