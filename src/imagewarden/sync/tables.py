"""What synchronisation remembers: runs, repositories, and tags that hold no image."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from imagewarden.storage.metadata import metadata

__all__ = ["registry_repository", "skipped_tag", "sync_run"]

sync_run = Table(
    "sync_run",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("registry_id", Text, ForeignKey("registry.id", ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False, comment="waiting, running, succeeded, partial, failed"),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("heartbeat_at", BigInteger, comment="a running run without one for minutes has died"),
    Column("finished_at", BigInteger),
    Column("repositories_total", Integer, comment="known once the listing of repositories ended"),
    Column("repositories_done", Integer, nullable=False, server_default="0"),
    Column("repositories_failed", Integer, nullable=False, server_default="0"),
    Column("tags_seen", BigInteger, nullable=False, server_default="0"),
    Column("added", BigInteger, nullable=False, server_default="0"),
    Column("changed", BigInteger, nullable=False, server_default="0"),
    Column("removed", BigInteger, nullable=False, server_default="0"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0", comment="removals waiting for a second listing"),
    Column("skipped", BigInteger, nullable=False, server_default="0", comment="tags that hold no image"),
    Column("error_code", Text),
    Column("error", Text, comment="one sentence; never a secret"),
    Column("problems", JSONB, nullable=False, server_default=text("'[]'"), comment="at most 100 {where, code, error}"),
    CheckConstraint("state IN ('waiting', 'running', 'succeeded', 'partial', 'failed')", name="state"),
    Index("ix_sync_run_registry_id_id", "registry_id", "id"),
)
"""One synchronisation of one registry, from request to end."""

registry_repository = Table(
    "registry_repository",
    metadata,
    Column("registry_id", Text, ForeignKey("registry.id", ondelete="CASCADE"), primary_key=True),
    Column("repository", Text, primary_key=True, comment="whole name, as the registry knows it"),
    Column("initial", Boolean, nullable=False, comment="seen before the registry's first complete listing"),
    Column("sync_run_id", BigInteger, nullable=False, comment="the sync that last listed it"),
    Column("completed_at", BigInteger, comment="last complete reading of its tags"),
    Column("completed_run_id", BigInteger, comment="the sync that last read all its tags"),
    Column("error_code", Text, comment="of the last sync, where it failed"),
    Column("error", Text),
)
"""A repository as last listed: how far its tags were read, and what went wrong."""

skipped_tag = Table(
    "skipped_tag",
    metadata,
    Column("registry_id", Text, ForeignKey("registry.id", ondelete="CASCADE"), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("tag", Text, primary_key=True),
    Column("digest", Text, nullable=False, comment="what the tag pointed to when it was read"),
    Column("reason", Text, nullable=False, comment="artifact, attestation, signature, malformed ..."),
    Column("sync_run_id", BigInteger, nullable=False),
)
"""Tags that hold no image, so that each is read once a digest and its reason can be shown."""
