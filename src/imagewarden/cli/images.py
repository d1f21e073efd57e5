"""`imagewarden images`: the image list, with the API's filters as options."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, Extra, Project, with_extra
from imagewarden.cli.output import Column, human_size, human_time, print_table, say
from imagewarden.cli.session import Session, run

if TYPE_CHECKING:
    from imagewarden.api.v5.image_filters import ImageListRequest
    from imagewarden.inventory.rows import ImageRow

__all__ = ["FILTERS", "images"]


FILTERS = (
    Extra("registry_name", "Registry.", "TEXT"),
    Extra("namespace", "First part of the repository's name.", "TEXT"),
    Extra("image_name", "The rest of the repository's name.", "TEXT"),
    Extra("image_version", "Tag.", "TEXT"),
    Extra("search", "Part of namespace, name or tag, in any case.", "TEXT"),
    Extra("severity_level", "Worst finding.", "Security|Low|Medium|High"),
    Extra("scan_status", "State of the scan; any_failed for all three kinds of failure.", "STATUS"),
    Extra("risky", "Images with findings, or without.", kind=bool | None),
    Extra("has_vul", "Images with vulnerabilities, or without.", kind=bool | None),
    Extra("has_unsafe_setting", "Images with unsafe settings, or without.", kind=bool | None),
    Extra("has_malicious_file", "Images with malicious files, or without.", kind=bool | None),
    Extra("is_multarch", "Multi-architecture images, or none of them.", kind=bool | None),
    Extra("latest_version", "The newest tag of each repository only.", kind=bool | None),
    Extra("image_type", "Kind of image.", "private_image|shared_image|instance_image|harbor|jfrog|other"),
    Extra("image_size", "Exact size.", "BYTES"),
    Extra("start_latest_update_time", "Tag last changed at or after.", "MS"),
    Extra("end_latest_update_time", "Tag last changed at or before.", "MS"),
    Extra("start_latest_scan_time", "Last scan ended at or after.", "MS"),
    Extra("end_latest_scan_time", "Last scan ended at or before.", "MS"),
    Extra("start_latest_sync_time", "Last seen by a synchronisation at or after.", "MS"),
    Extra("end_latest_sync_time", "Last seen by a synchronisation at or before.", "MS"),
    Extra("instance_id", "Id of the SWR enterprise instance.", "TEXT"),
    Extra("instance_name", "Name of the SWR enterprise instance.", "TEXT"),
    Extra("enterprise_project_id", "Enterprise project; all_granted_eps for all; 0 without it.", "ID"),
    Extra("sort_key", "Order; by id without it.", "latest_scan_time"),
    Extra("sort_dir", "Direction of the order; asc without it.", "asc|desc"),
    Extra("offset", "Images to skip.", "N"),
    Extra("limit", "Images to show, 1 to 200; 10 without it.", "N"),
)
"""Every parameter of the list, checked by the API's own rules when the command runs."""

_STYLES = {"High": "bold red", "Medium": "yellow", "Low": "blue", "Security": "green"}
_COLUMNS = (
    Column("REGISTRY", wide=True),
    Column("REPOSITORY"),
    Column("TAG"),
    Column("DIGEST", wide=True),
    Column("PLATFORM"),
    Column("SIZE", right=True),
    Column("STATUS"),
    Column("VUL/SET/MAL", right=True),
    Column("SEVERITY"),
    Column("UPDATED", wide=True),
)
_SEVERITY = 8
_DIGEST_DIGITS = 12


class _Listed(NamedTuple):
    """A page as it is printed."""

    total: int
    rows: "list[ImageRow]"
    body: bytes


@with_extra(FILTERS)
def images(
    project: Project = None,
    everything: Annotated[bool, typer.Option("--all", help="Every image that matches; no pages.")] = False,
    written: Annotated[
        str, typer.Option("--format", metavar="ndjson|csv", help="With --all: how images are written.")
    ] = "ndjson",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    **filters: Any,
) -> None:
    """List images, by any mix of filters.

    --json prints what the API would answer. A filter that is not given asks nothing. --all streams every image, as it
    is at one moment, to standard output, one JSON object a line, or CSV.
    """
    asked = _checked(filters)
    flags = {"data_dir": data_dir, "database_url": database_url}
    if everything:
        _stream(asked, project, written, filters, flags)
        return
    page = run(lambda session: _page(session, project, asked), **flags)
    if as_json:
        say(page.body.decode())
        return
    _print(page, asked.offset)


async def _page(session: Session, project: str | None, asked: "ImageListRequest") -> _Listed:
    """Return a page with what is printed of it."""
    from imagewarden.api.v5.image_rows import list_body
    from imagewarden.cli.lists import opened_lists
    from imagewarden.identity.directory import find_project
    from imagewarden.inventory.query import rows_by_id

    async with session.engine.connect() as connection, opened_lists(session) as lists:
        found = await find_project(connection, project)
        (total, ids, rows), _ = await lists.page(found.id, *asked)
        stored = await rows_by_id(connection, ids)
    return _Listed(total, [stored[each] for each in ids if each in stored], list_body(total, rows))


def _stream(
    asked: "ImageListRequest", project: str | None, written: str, filters: dict[str, Any], flags: dict[str, Any]
) -> None:
    """Write every image that matches to standard output; raises a usage error for what has no meaning then."""
    from imagewarden.api.v5.image_export import EXPORT_FORMATS
    from imagewarden.cli.lists import opened_lists
    from imagewarden.identity.directory import find_project

    if written not in EXPORT_FORMATS:
        raise typer.BadParameter(f"--format takes {' or '.join(EXPORT_FORMATS)}")
    for name in ("offset", "limit"):
        if filters.get(name) is not None:
            raise typer.BadParameter(f"--{name} is for a page; --all has none")

    async def work(session: Session) -> None:
        async with session.engine.connect() as connection, opened_lists(session) as lists:
            found = await find_project(connection, project)
            rows, _ = await lists.rows(found.id, asked.asked, asked.order)
            for part in EXPORT_FORMATS[written][1](rows):
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()

    run(work, **flags)


def _checked(filters: dict[str, Any]) -> "ImageListRequest":
    """Return what the options ask for; raises a usage error that names the option, by the API's rules."""
    from urllib.parse import urlencode

    from imagewarden.api.errors import InvalidParameter
    from imagewarden.api.parameters import parse_query
    from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS, image_list_request

    given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in filters.items()}
    query = urlencode(
        {name: value for name, value in given.items() if value is not None}, errors="surrogateescape"
    ).encode()
    try:
        return image_list_request(parse_query(query, IMAGE_LIST_PARAMETERS), granted=None)
    except InvalidParameter as error:
        option = f"--{error.name.replace('_', '-')}"
        raise typer.BadParameter(error.message.replace(f"parameter {error.name}", option, 1)) from None


def _platform(row: "ImageRow") -> str:
    """Return the platforms of an image, counted where there are many."""
    if not row.is_index:
        return "/".join(part for part in (row.os, row.architecture, row.variant) if part)
    names = ["/".join(part for part in (each.os, each.architecture, each.variant) if part) for each in row.children]
    return ",".join(names) if len(names) <= 2 else f"{len(names)} platforms"


def _cells(row: "ImageRow") -> list[str]:
    """Return an image as a table's row."""
    counts = (row.vulnerability_count, row.unsafe_setting_count, row.malicious_file_count)
    return [
        row.registry_name,
        f"{row.namespace}/{row.name}" if row.namespace else row.name,
        row.tag,
        row.digest.partition(":")[2][:_DIGEST_DIGITS],
        _platform(row),
        human_size(row.size),
        row.scan_status,
        "/".join(map(str, counts)) if row.scanned_at is not None else "-",
        row.risk_level or "-",
        human_time(row.updated_at),
    ]


def _print(page: _Listed, offset: int) -> None:
    """Print a page as a table, with where it stands in the whole."""
    styles = []
    for row in page.rows:
        paint = [""] * len(_COLUMNS)
        paint[_SEVERITY] = _STYLES.get(row.risk_level or "", "")
        styles.append(paint)
    if page.rows:
        footer = f"showing {offset + 1}-{offset + len(page.rows)} of {page.total}"
    else:
        footer = f"showing none of {page.total}" if page.total else "no image matches"
    print_table(_COLUMNS, map(_cells, page.rows), footer=footer, styles=styles)
