"""Writing rows of the image list: by batches of one repository, a fixed number of statements each."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.inventory.tables import image, image_platform
from imagewarden.model.digest import Digest
from imagewarden.model.platform import Platform
from imagewarden.model.reference import RepositoryName
from imagewarden.model.registry_kind import ImageType
from imagewarden.model.scan import ScanStatus

__all__ = [
    "ImageFacts",
    "KnownTag",
    "PlatformFacts",
    "Target",
    "Written",
    "known_tags",
    "mark_seen",
    "touch",
    "write_images",
]


class PlatformFacts(msgspec.Struct, frozen=True):
    """What a sync found out about one child of a multi-architecture image."""

    digest: Digest
    """Digest of its manifest."""
    config_digest: str
    """Hex; empty while the registry does not hold the child."""
    platform: Platform
    """What it runs on."""
    size: int
    """Bytes of its blobs, each once."""


class ImageFacts(msgspec.Struct, frozen=True):
    """What a sync found out about one tag."""

    tag: str
    """The tag."""
    digest: Digest
    """Digest of the manifest or index."""
    config_digest: str
    """Hex; an index's own digest; empty for schema 1."""
    media_type: str
    """Media type of the manifest or index."""
    size: int
    """Bytes of all blobs, each once."""
    platform: Platform
    """What it runs on; empty for an index."""
    scannable: bool
    """Whether a scan may be started."""
    is_index: bool
    """Whether it holds several architectures."""
    updated_at: int
    """When the tag last changed, ms."""
    children: tuple[PlatformFacts, ...] = ()
    """The runnable children of an index, in its order."""


class Target(NamedTuple):
    """Where rows are written."""

    project_id: str
    """The project."""
    enterprise_project_id: str
    """The enterprise project."""
    registry_id: str
    """The registry."""
    kind: ImageType
    """Kind of image."""
    repository: RepositoryName
    """The repository."""
    run_id: int
    """The sync that writes."""
    now: int
    """Its time, ms."""


class KnownTag(NamedTuple):
    """A row that is there already."""

    id: int
    """Id of the row."""
    digest: Digest
    """What the tag pointed to when it was last read."""


class Written(NamedTuple):
    """How many rows a batch wrote."""

    added: int
    """New rows."""
    changed: int
    """Rows whose tag had moved."""


_WRITTEN = (
    "project_id", "enterprise_project_id", "registry_id", "namespace", "name", "tag", "digest", "config_digest", "kind",
    "media_type", "size", "os", "architecture", "variant", "scannable", "is_index", "updated_at", "synced_at",
    "sync_run_id",
)  # fmt: skip
_KEY = frozenset(("project_id", "registry_id", "namespace", "name", "tag"))
# A tag that moved names another image: what was found in the old one is not said of it.
_UPSERT = sql_text(f"""
INSERT INTO image ({", ".join(_WRITTEN)})
SELECT {", ".join(_WRITTEN)} FROM jsonb_populate_recordset(NULL::image, :rows)
ON CONFLICT (registry_id, namespace, name, tag) WHERE removed_at IS NULL DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in _WRITTEN if name not in _KEY)}, missing_since = NULL,
  scan_status = '{ScanStatus.UNSCAN.value}', failure_code = NULL, failure_reason = NULL, scanned_at = NULL,
  vulnerability_count = 0, unsafe_setting_count = 0, malicious_file_count = 0, risk_level = NULL
RETURNING id, tag, xmax = 0 AS added
""").bindparams(bindparam("rows", type_=JSONB))  # noqa: S608 # constants

_CHILD = ("parent_id", "position", "digest", "config_digest", "os", "architecture", "variant", "size")
_INSERT_CHILDREN = sql_text(f"""
INSERT INTO image_platform ({", ".join(_CHILD)})
SELECT {", ".join(_CHILD)} FROM jsonb_populate_recordset(NULL::image_platform, :rows)
""").bindparams(bindparam("rows", type_=JSONB))  # noqa: S608 # constants


async def known_tags(
    connection: AsyncConnection, registry_id: str, repository: RepositoryName, tags: Sequence[str]
) -> dict[str, KnownTag]:
    """Return the live rows of some tags of a repository, by tag."""
    rows = await connection.execute(
        select(image.c.tag, image.c.id, image.c.digest).where(
            image.c.registry_id == registry_id,
            image.c.namespace == repository.namespace,
            image.c.name == repository.image_name,
            image.c.tag == func.any(bindparam("tags", list(tags))),
            image.c.removed_at.is_(None),
        )
    )
    return {row.tag: KnownTag(row.id, Digest(row.digest)) for row in rows}


async def touch(connection: AsyncConnection, ids: Sequence[int], run_id: int, now: int) -> None:
    """Note that a sync saw these rows as they were."""
    await _update(connection, ids, sync_run_id=run_id, synced_at=now, missing_since=None)


async def mark_seen(connection: AsyncConnection, ids: Sequence[int], run_id: int) -> None:
    """Note that a sync saw the tags of these rows but could not read them: they stay as they are."""
    await _update(connection, ids, sync_run_id=run_id, missing_since=None)


async def _update(connection: AsyncConnection, ids: Sequence[int], **values: int | None) -> None:
    if ids:
        await connection.execute(
            update(image).where(image.c.id == func.any(bindparam("ids", list(ids)))).values(**values)
        )


def _row(target: Target, facts: ImageFacts) -> dict[str, object]:
    """Return the columns of a tag."""
    return {
        "project_id": target.project_id,
        "enterprise_project_id": target.enterprise_project_id,
        "registry_id": target.registry_id,
        "namespace": target.repository.namespace,
        "name": target.repository.image_name,
        "tag": facts.tag,
        "digest": facts.digest,
        "config_digest": facts.config_digest,
        "kind": target.kind.value,
        "media_type": facts.media_type,
        "size": facts.size,
        "os": facts.platform.os,
        "architecture": facts.platform.architecture,
        "variant": facts.platform.variant,
        "scannable": facts.scannable,
        "is_index": facts.is_index,
        "updated_at": facts.updated_at,
        "synced_at": target.now,
        "sync_run_id": target.run_id,
    }


async def write_images(connection: AsyncConnection, target: Target, found: Sequence[ImageFacts]) -> Written:
    """Write new tags and tags that have moved, with the children of indexes; for one transaction.

    Tags that did not move must not be among them: their scan results would be lost.
    """
    if not found:
        return Written(0, 0)
    result = await connection.execute(_UPSERT, {"rows": [_row(target, facts) for facts in found]})
    rows = {row.tag: row for row in result}
    await _write_children(connection, [(rows[facts.tag].id, facts.children) for facts in found])
    added = sum(1 for row in rows.values() if row.added)
    return Written(added, len(rows) - added)


async def _write_children(
    connection: AsyncConnection, families: Sequence[tuple[int, tuple[PlatformFacts, ...]]]
) -> None:
    """Replace the children of rows."""
    parents = [parent for parent, _ in families]
    await connection.execute(
        delete(image_platform).where(image_platform.c.parent_id == func.any(bindparam("parents", parents)))
    )
    rows = [
        {
            "parent_id": parent,
            "position": position,
            "digest": child.digest,
            "config_digest": child.config_digest,
            "os": child.platform.os,
            "architecture": child.platform.architecture,
            "variant": child.platform.variant,
            "size": child.size,
        }
        for parent, children in families
        for position, child in enumerate(children)
    ]
    if rows:
        await connection.execute(_INSERT_CHILDREN, {"rows": rows})
