"""The image list from PostgreSQL: conditions to SQL, one statement a page."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from imagewarden.inventory.filters import (
    AnyPositive,
    Condition,
    Contains,
    Equals,
    ImageColumn,
    ImageFilter,
    ImageOrder,
    OneOf,
    Within,
    conditions,
)
from imagewarden.inventory.rows import ImagePage, ImageRow
from imagewarden.inventory.tables import image, image_platform, registry

__all__ = ["list_images"]

_COLUMNS: dict[ImageColumn, ColumnElement[Any]] = {
    name: image.c[name.value] for name in ImageColumn if name is not ImageColumn.REGISTRY_NAME
}
_OF_REGISTRY = {"registry_name": registry.c.name, "registry_type": registry.c.type}
_FIELDS = [field for field in ImageRow.__struct_fields__ if field != "platforms"]


def _equals(project_id: str, column: ImageColumn, value: Any) -> ColumnElement[bool]:
    """Return an exact match; a registry is named by the row's registry_id, so that counting needs no join."""
    if column is ImageColumn.REGISTRY_NAME:
        named = select(registry.c.id).where(registry.c.project_id == project_id, registry.c.name == value)
        return image.c.registry_id.in_(named)
    same: ColumnElement[bool] = _COLUMNS[column] == value
    return same


def _sql(project_id: str, condition: Condition) -> ColumnElement[bool]:
    """Return one condition as SQL."""
    match condition:
        case Equals(column, value):
            return _equals(project_id, column, value)
        case OneOf(column, values):
            return _COLUMNS[column].in_(values)
        case Within(column, low, high):
            return _COLUMNS[column].between(literal(low, BigInteger), literal(high, BigInteger))
        case AnyPositive(columns, wanted):
            some = or_(*(_COLUMNS[column] > 0 for column in columns))
            return some if wanted else not_(some)
        case Contains(columns, text):
            # In the C collation lower() changes A-Z alone, as ascii_lower does.
            return or_(*(func.strpos(func.lower(_COLUMNS[column].collate("C")), text) > 0 for column in columns))


def _live(project_id: str, asked: ImageFilter) -> ColumnElement[bool]:
    """Return what a row must be to be listed at all, and to match."""
    found = (_sql(project_id, each) for each in conditions(asked))
    return and_(image.c.project_id == project_id, image.c.removed_at.is_(None), *found)


def _order(order: ImageOrder, rows: ReadOnlyColumnCollection[str, Any]) -> tuple[ColumnElement[Any], ...]:
    """Return the order's keys among the columns of `rows`; the id makes it total."""
    if not order.by_scan_time:
        return (rows.id.desc(),) if order.descending else (rows.id.asc(),)
    if order.descending:
        return (rows.scanned_at.desc().nulls_last(), rows.id.desc())
    return (rows.scanned_at.asc().nulls_first(), rows.id.asc())


def _platforms() -> ColumnElement[Any]:
    """Return the children of the row at hand as a JSON array of arrays, in the order of PlatformRow's fields."""
    child = image_platform.c
    entry = func.jsonb_build_array(
        child.id, child.config_digest, child.digest, child.os, child.architecture, child.variant, child.scan_status,
        child.vulnerability_count, child.unsafe_setting_count, child.malicious_file_count,
    )  # fmt: skip
    return (
        select(func.jsonb_agg(aggregate_order_by(entry, child.position)))
        .where(child.parent_id == image.c.id)
        .scalar_subquery()
    )


def _statement(project_id: str, asked: ImageFilter, order: ImageOrder, offset: int, limit: int) -> Select[Any]:
    """Return one statement that gives at least one row: the total first, then a page row's columns or NULLs."""
    matching = _live(project_id, asked)
    total = select(func.count().label("total")).select_from(image).where(matching).subquery("counted")
    page = (
        select(*(image.c[field] for field in _FIELDS if field not in _OF_REGISTRY), _platforms().label("platforms"))
        .where(matching)
        .order_by(*_order(order, image.c))
        .offset(offset)
        .limit(limit)
        .subquery("page")
    )
    columns = [_OF_REGISTRY[field] if field in _OF_REGISTRY else page.c[field] for field in _FIELDS]
    joined = total.outerjoin(page, true()).outerjoin(registry, registry.c.id == page.c.registry_id)
    return select(total.c.total, *columns, page.c.platforms).select_from(joined).order_by(*_order(order, page.c))


async def list_images(
    connection: AsyncConnection,
    project_id: str,
    asked: ImageFilter,
    order: ImageOrder = ImageOrder(),  # noqa: B008 # frozen
    *,
    offset: int = 0,
    limit: int = 10,
) -> ImagePage:
    """Return a page of a project's images and the exact number of all that match, both of one snapshot.

    `offset` is 0 or more, `limit` 1 or more; past the end the page is empty and the total still true.
    """
    result = await connection.execute(_statement(project_id, asked, order, offset, limit))
    records = result.all()
    rows = tuple(ImageRow(*record[1:]) for record in records if record[1] is not None)
    return ImagePage(total=records[0][0], rows=rows)
