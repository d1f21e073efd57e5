"""Which row of a repository is its newest."""

from collections.abc import Iterable

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.inventory.tables import image
from imagewarden.model.reference import RepositoryName
from imagewarden.model.tagorder import tag_order_key

__all__ = ["newest", "refresh_latest"]


def newest(rows: Iterable[tuple[int, int, str]]) -> int | None:
    """Return the id of the newest of (updated_at, id, tag); None for no row.

    The latest update wins, then the tag `latest`, then the highest version, then the highest id.
    """
    best = max(rows, key=lambda row: (row[0], tag_order_key(row[2])[:-1], row[1]), default=None)
    return None if best is None else best[1]


async def refresh_latest(connection: AsyncConnection, registry_id: str, repository: RepositoryName) -> None:
    """Mark the newest live row of a repository, and no other; one statement, and a second one where that changes.

    Only rows of the last update's time are looked at, not the whole repository.
    """
    live = (
        (image.c.registry_id == registry_id)
        & (image.c.namespace == repository.namespace)
        & (image.c.name == repository.image_name)
        & image.c.removed_at.is_(None)
    )
    last = select(func.max(image.c.updated_at)).where(live).scalar_subquery()
    is_last = image.c.updated_at == last
    found = (
        await connection.execute(
            select(image.c.updated_at, image.c.id, image.c.tag, image.c.is_latest, is_last.label("is_last")).where(
                live, is_last | image.c.is_latest
            )
        )
    ).all()
    winner = newest((row.updated_at, row.id, row.tag) for row in found if row.is_last)
    if winner is not None and [row.id for row in found if row.is_latest] != [winner]:
        is_winner = image.c.id == winner
        await connection.execute(update(image).where(live, image.c.is_latest != is_winner).values(is_latest=is_winner))
