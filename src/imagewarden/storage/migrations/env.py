"""Alembic's environment: gathers every room's tables; run by `imagewarden.storage.schema` alone."""

from alembic import context

from imagewarden.identity import tables as _identity  # noqa: F401 # registers its tables
from imagewarden.inventory import feed_tables as _feed  # noqa: F401
from imagewarden.inventory import tables as _inventory  # noqa: F401
from imagewarden.jobs.schema import PREFIX
from imagewarden.storage.metadata import metadata
from imagewarden.sync import tables as _sync  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The queue's tables are Procrastinate's own: see imagewarden.jobs.schema.
    include_name=lambda name, kind, _parents: not (kind == "table" and (name or "").startswith(PREFIX)),
)
with context.begin_transaction():
    context.run_migrations()
