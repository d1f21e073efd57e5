"""Rows of the image list from PostgreSQL, by id: what the read model does not keep is there too."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.tables import image, image_platform, registry

__all__ = ["rows_by_id", "select_rows"]

_OF_REGISTRY = {"registry_name": registry.c.name, "registry_type": registry.c.type}


def _platforms() -> ColumnElement[Any]:
    """Return the children of the row at hand as a JSON array of arrays, in the order of PlatformRow's fields."""
    child = image_platform.c
    entry = func.jsonb_build_array(
        child.id, child.config_digest, child.digest, child.os, child.architecture, child.variant, child.scan_status,
        child.vulnerability_count, child.unsafe_setting_count, child.malicious_file_count,
    )  # fmt: skip
    return (
        select(func.jsonb_agg(aggregate_order_by(entry, child.position, child.id)))
        .where(child.parent_id == image.c.id)
        .scalar_subquery()
    )


def select_rows(ids: Sequence[int]) -> Select[Any]:
    """Return a SELECT of the rows of `ids`, with ImageRow's fields in their order."""
    fields = (field for field in ImageRow.__struct_fields__ if field != "platforms")
    columns = [_OF_REGISTRY[field] if field in _OF_REGISTRY else image.c[field] for field in fields]
    return select(*columns, _platforms()).join_from(image, registry).where(image.c.id.in_(ids))


async def rows_by_id(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, ImageRow]:
    """Return the rows of `ids` that are still there."""
    return {record[0]: ImageRow(*record) for record in await connection.execute(select_rows(ids))}
