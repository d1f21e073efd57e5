"""Tables of the change feed: written by the database's own triggers (migration 0002), read by `inventory.feed`."""

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Index, Table, Text, func, text

from imagewarden.storage.metadata import metadata

__all__ = ["image_change", "image_feed"]

image_change = Table(
    "image_change",
    metadata,
    Column(
        "xid", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text::bigint)"),
        comment="the transaction that changed them, as pg_current_xact_id() says",
    ),
    Column("project_id", Text, nullable=False, comment="empty for identities, which belong to no project"),
    Column("image_ids", ARRAY(BigInteger), comment="at most 500; absent for everything of the project"),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Index("ix_image_change_project_id_xid", "project_id", "xid"),
    Index("ix_image_change_xid_project_id", "xid", "project_id"),
    prefixes=["UNLOGGED"],
    postgresql_with={
        "toast_tuple_target": "8160",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "2000",
        "autovacuum_vacuum_insert_scale_factor": "0",
        "autovacuum_vacuum_insert_threshold": "2000",
        "autovacuum_analyze_scale_factor": "0",
        "autovacuum_analyze_threshold": "2000",
    },
)  # fmt: skip
"""Images that a transaction changed; only ever inserted into, and pruned."""

image_feed = Table(
    "image_feed",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column(
        "pruned_up_to", BigInteger, nullable=False,
        comment="the highest xid of the project's changes that were deleted",
    ),
    prefixes=["UNLOGGED"],
)  # fmt: skip
"""How far the changes of a project were pruned; no row where none ever was."""
