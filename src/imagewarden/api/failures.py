"""Every exception of a request, turned into the envelope that clients read."""

from pathlib import PurePath
from typing import Any

import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from psycopg.errors import Error as DriverError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from imagewarden.api.errors import ApiError, InvalidBody, MethodNotAllowed, NoSuchApi, Unavailable, envelope
from imagewarden.api.gate import request_id_of

__all__ = ["EXCEPTION_HANDLERS"]

_LOG = structlog.get_logger(__name__)


def _origin(error: BaseException) -> str:
    """Return where the error was raised, as `file:line`: enough to find it, and nothing a request brought along."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "unknown"


def _known(error: Exception) -> ApiError | None:
    """Return the answer to an error that has one."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return NoSuchApi("no such API")
        if error.status_code == 405:
            return MethodNotAllowed("this path takes another method", headers=error.headers)
        if error.status_code == 400:
            return InvalidBody("the request cannot be parsed")
    if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Unavailable("the database is away; try again shortly", headers={"retry-after": "2"})
    return None


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the answer to an error; what nobody foresaw is logged, without what it says."""
    request_id = request_id_of(request.scope)
    answer = _known(error)
    if answer is None:
        answer = ApiError(f"internal error; the log names it by request id {request_id}")
        cause = error.orig if isinstance(error, DBAPIError) else error
        _LOG.error(
            "request failed",
            request_id=request_id,
            kind=type(cause).__name__,
            sqlstate=cause.sqlstate if isinstance(cause, DriverError) else None,
            raised_at=_origin(error),
            within="database" if isinstance(error, SQLAlchemyError) else "application",
        )
    return Response(
        envelope(answer, request_id, request.scope["path"]),
        status_code=answer.status,
        headers=answer.headers,
        media_type=MediaType.JSON,
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {Exception: _answer, HTTPException: _answer, ApiError: _answer}
"""For Litestar: one handler for all."""
