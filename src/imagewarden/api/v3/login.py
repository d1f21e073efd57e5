"""What a login asks for, and whether it is granted (contract: auth-and-errors, section a)."""

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.api.errors import InvalidBody, InvalidParameter, Unauthenticated, Unavailable
from imagewarden.api.v3.bodies import Auth, NamedDomain, ScopeProject, TokenRequest
from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated, Refusal, TooManyLogins
from imagewarden.identity.login import LoginProject, authenticate_password, find_scope

__all__ = ["log_in", "parse_login"]

_DECODER = msgspec.json.Decoder(TokenRequest)


def parse_login(raw: bytes) -> Auth:
    """Return the login in a body; raises InvalidBody or InvalidParameter naming the field, never its value."""
    try:
        asked = _DECODER.decode(raw).auth
    except msgspec.ValidationError as error:
        raise InvalidBody(f"the login is not usable: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidBody("the body is not JSON in UTF-8, or nested too deeply") from None
    if asked.identity.methods != ["password"]:
        raise InvalidParameter("auth.identity.methods", asked.identity.methods, '["password"]')
    _check_named("auth.identity.password.user.domain", asked.identity.password.user.domain)
    if asked.scope is not None:
        project, domain = asked.scope.project, asked.scope.domain
        if project is not None and domain is not None:
            raise InvalidParameter("auth.scope", "project and domain", "one of the two")
        _check_named("auth.scope.project", project)
        _check_named("auth.scope.project.domain", project.domain if project else None)
        _check_named("auth.scope.domain", domain)
    return asked


def _check_named(where: str, thing: NamedDomain | ScopeProject | None) -> None:
    """Raise InvalidParameter for a thing with neither id nor name."""
    if thing is not None and thing.id is None and thing.name is None:
        raise InvalidParameter(where, "{}", "an id or a name")


def _check_own(caller: Caller, domain: NamedDomain | None) -> None:
    """Raise NotAuthenticated for a scope in a domain other than the caller's."""
    if domain is None:
        return
    same = caller.domain_name == domain.name if domain.id is None else caller.domain_id == domain.id
    if not same:
        raise NotAuthenticated("the user has no role in the domain of the scope", Refusal.SCOPE)


async def log_in(engine: AsyncEngine, asked: Auth) -> tuple[Caller, LoginProject | None]:
    """Return who logs in and the project of the scope (None: the domain); raises Unauthenticated, Unavailable."""
    user, scope = asked.identity.password.user, asked.scope
    try:
        caller = await authenticate_password(
            engine, user.name, user.password, domain_id=user.domain.id, domain_name=user.domain.name
        )
        if scope is None or scope.project is None:
            _check_own(caller, scope.domain if scope else None)
            return caller, None
        _check_own(caller, scope.project.domain)
        async with engine.connect() as connection:
            return caller, await find_scope(connection, caller, scope.project.id, scope.project.name)
    except NotAuthenticated as error:
        raise Unauthenticated(str(error)) from None
    except TooManyLogins as error:
        raise Unavailable(str(error), headers={"retry-after": "2"}) from None
