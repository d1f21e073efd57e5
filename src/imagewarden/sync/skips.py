"""Tags that hold no image: remembered by digest, so that each is read once."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.inventory.writer import Target
from imagewarden.model.digest import Digest
from imagewarden.sync.tables import skipped_tag

__all__ = ["SkippedTag", "forget_skips", "known_skips", "touch_skips", "write_skips"]

SkippedTag = tuple[str, Digest, str]
"""Tag, what it points to, and what that is instead of an image."""


def _of(target: Target) -> ColumnElement[bool]:
    """Return the condition for the rows of one repository."""
    return and_(skipped_tag.c.registry_id == target.registry_id, skipped_tag.c.repository == target.repository.path)


async def known_skips(connection: AsyncConnection, target: Target, tags: Sequence[str]) -> dict[str, Digest]:
    """Return the digests of those tags of a repository that are known to hold no image."""
    wanted = skipped_tag.c.tag == func.any(bindparam("tags", list(tags)))
    rows = await connection.execute(select(skipped_tag.c.tag, skipped_tag.c.digest).where(_of(target), wanted))
    return {row.tag: Digest(row.digest) for row in rows}


async def touch_skips(connection: AsyncConnection, target: Target, tags: Sequence[str]) -> None:
    """Note that these tags are as they were."""
    if tags:
        wanted = skipped_tag.c.tag == func.any(bindparam("tags", list(tags)))
        await connection.execute(update(skipped_tag).where(_of(target), wanted).values(sync_run_id=target.run_id))


async def write_skips(connection: AsyncConnection, target: Target, skips: Sequence[SkippedTag]) -> None:
    """Remember tags that hold no image."""
    if not skips:
        return
    rows = [
        {
            "registry_id": target.registry_id,
            "repository": target.repository.path,
            "tag": tag,
            "digest": digest,
            "reason": reason[:200],
            "sync_run_id": target.run_id,
        }
        for tag, digest, reason in skips
    ]
    statement = upsert(skipped_tag)
    renewed = {name: statement.excluded[name] for name in ("digest", "reason", "sync_run_id")}
    key = ["registry_id", "repository", "tag"]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=renewed), rows)


async def forget_skips(connection: AsyncConnection, target: Target) -> None:
    """Forget what a complete reading of the repository did not see as such again."""
    await connection.execute(delete(skipped_tag).where(_of(target), skipped_tag.c.sync_run_id != target.run_id))
