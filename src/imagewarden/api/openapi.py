"""The API's description of itself: an OpenAPI 3.1 document made from what the operations declare."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.handlers import HTTPRouteHandler

from imagewarden import __version__
from imagewarden.api.operation import Operation, declared, operation

__all__ = ["api_document", "openapi"]

_REQUEST_ID = {"X-Request-Id": {"description": "id of this request in the log", "schema": {"type": "string"}}}
_PATH_PARAMETER = re.compile(r"\{(\w+):\w+\}")
_REF = "#/components/schemas/{name}"


class Error(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error_code: str
    """Code of the product API (HSS.*, APIGW.*), or ours (IMAGEWARDEN.*)."""
    error_msg: str
    """What is wrong, where, and what to do."""
    error_description: str
    """The same again: some clients read this one."""
    request_id: str
    """As in the header X-Request-Id."""


def _handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Yield each operation with its path, in a stable order."""
    for route in sorted(app.routes, key=lambda route: route.path):
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and "operation" in handler.opt:
                yield route.path_format, handler


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a request or an answer."""
    return {"content": {"application/json": {"schema": schema}}}


def _operation_object(
    path: str, name: str, summary: str, asked: Operation, schemas: dict[type, dict[str, Any]]
) -> dict[str, Any]:
    """Return one operation as OpenAPI says it."""
    parameters = [
        {"name": part, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 256}}
        for part in re.findall(r"\{(\w+)\}", path)
    ]
    parameters += [each.document() for each in asked.parameters]
    parameters += [{"name": each, "in": "header", "schema": {"type": "string"}} for each in asked.headers]
    answer = _body(schemas[asked.response]) if asked.response else {}
    if asked.media_types:
        answer = {"content": {each: {"schema": {"type": "string"}} for each in asked.media_types}}
    done = {"description": "done", "headers": _REQUEST_ID, **answer}
    failed = {"description": "error", "headers": _REQUEST_ID, **_body(schemas[Error])}
    document: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": [asked.tag],
        "parameters": parameters,
        "responses": {str(asked.status): done, "4XX": failed, "5XX": failed},
        "security": [] if asked.public else [{"token": []}, {"signature": []}],
    }
    if asked.request is not None:
        document["requestBody"] = {"required": True, **_body(schemas[asked.request])}
    return document


def api_document(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI document of every operation that `app` serves."""
    found = [(path, handler, declared(handler.opt)) for path, handler in _handlers(app)]
    types = {kind: None for _, _, asked in found for kind in (asked.request, asked.response) if kind}
    references, components = msgspec.json.schema_components([Error, *types], ref_template=_REF)
    schemas = dict(zip([Error, *types], references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for path, handler, asked in found:
        summary = (handler.fn.__doc__ or "").partition("\n")[0]
        for method in sorted(handler.http_methods - {"OPTIONS"}):
            name = handler.name or handler.fn.__name__
            paths.setdefault(path, {})[method.lower()] = _operation_object(path, name, summary, asked, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Imagewarden", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "signature": {"type": "apiKey", "in": "header", "name": "Authorization"},
            },
        },
    }


@get("/openapi.json", opt=operation(tag="description", public=True))
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Give this document."""
    return Response(msgspec.json.encode(api_document(request.app)), media_type=MediaType.JSON)
