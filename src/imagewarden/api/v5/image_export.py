"""Every image of any filter as a stream, beyond the contract: `GET /v5/{project_id}/image/registries/images/export`."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
from litestar import Request, get
from litestar.response import Stream

from imagewarden.api.authentication import caller_of
from imagewarden.api.operation import operation
from imagewarden.api.parameters import Choice, Parameter, parse_query
from imagewarden.api.services import Services
from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS, image_list_request
from imagewarden.api.v5.image_rows import RegistryImagesInfo
from imagewarden.api.v5.registry_images import age_header, unavailable
from imagewarden.identity.roles import Role
from imagewarden.inventory.errors import ModelUnavailable

__all__ = ["EXPORT_FORMATS", "export_registry_images"]

_FIELDS = RegistryImagesInfo.__struct_fields__
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text must not begin with where a spreadsheet opens it: it would be run."""


def ndjson(portions: Iterator[list[bytes]]) -> Iterator[bytes]:
    """Give rows as JSON, one a line."""
    for rows in portions:
        yield b"\n".join(rows) + b"\n"


def csv_text(portions: Iterator[list[bytes]]) -> Iterator[bytes]:
    """Give rows as CSV (RFC 4180) under a line of names; children are JSON, an absent field is empty.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_FIELDS)
    for rows in portions:
        for row in rows:
            fields = msgspec.json.decode(row)
            writer.writerow([_cell(fields.get(name)) for name in _FIELDS])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue().encode()


def _cell(value: Any) -> str:
    """Return a field as CSV holds it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case int():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


EXPORT_FORMATS: dict[str, tuple[str, Callable[[Iterator[list[bytes]]], Iterator[bytes]]]] = {
    "ndjson": ("application/x-ndjson", ndjson),
    "csv": ("text/csv", csv_text),
}
"""Formats of an export: its media type, and what makes text of portions of encoded rows."""

_PARAMETERS = (
    *(each for each in IMAGE_LIST_PARAMETERS if each.name not in ("offset", "limit")),
    Parameter("format", Choice(tuple(EXPORT_FORMATS)), "how rows are written", "ndjson"),
)


@get(
    "/v5/{project_id:str}/image/registries/images/export",
    name="ExportRegistryImages",
    opt=operation(
        tag="images", role=Role.VIEWER, parameters=_PARAMETERS, media_types=("application/x-ndjson", "text/csv")
    ),
)
async def export_registry_images(request: Request[Any, Any, Any]) -> Stream:
    """Give every image that any mix of filters finds, as it is at one moment, as NDJSON or CSV; not paged."""
    services: Services = request.app.state.services
    project_id: str = request.path_params["project_id"]
    values = parse_query(request.scope["query_string"], _PARAMETERS)
    granted = caller_of(request.scope).enterprise_projects(project_id)
    asked, order, _, _ = image_list_request({**values, "offset": 0, "limit": 1}, granted)
    media_type, written = EXPORT_FORMATS[values["format"]]
    try:
        portions, age = await services.images.rows(project_id, asked, order)
    except ModelUnavailable as error:
        raise unavailable(error) from None
    name = f'attachment; filename="images.{values["format"]}"'
    headers = {"content-disposition": name, **age_header(age)}
    return Stream(_paced(written(portions)), media_type=media_type, headers=headers)


async def _paced(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Give the parts of an answer, and let other requests have their turn between them.

    The model's buffers belong to this thread: the work is short, and stays in it.
    """
    for part in parts:
        yield part
        await asyncio.sleep(0)
