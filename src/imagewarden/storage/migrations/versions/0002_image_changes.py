"""Image changes: the database tells which images changed, so that read models follow it."""

from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"

# Neither table is logged: after a crash numbers of transactions may be given out a second time, so every read model
# is built again anyway (imagewarden.inventory.feed).
_TABLES = """
CREATE UNLOGGED TABLE image_change (
    xid BIGINT DEFAULT (pg_current_xact_id()::text::bigint) NOT NULL,
    project_id TEXT NOT NULL,
    image_ids BIGINT[],
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL
)
 WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 2000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000);
CREATE INDEX ix_image_change_project_id_xid ON image_change (project_id, xid);
CREATE INDEX ix_image_change_xid_project_id ON image_change (xid, project_id);
COMMENT ON COLUMN image_change.xid IS 'the transaction that changed them, as pg_current_xact_id() says';
COMMENT ON COLUMN image_change.project_id IS 'empty for identities, which belong to no project';
COMMENT ON COLUMN image_change.image_ids IS 'at most 500; absent for everything of the project';

CREATE UNLOGGED TABLE image_feed (
    project_id TEXT NOT NULL,
    pruned_up_to BIGINT NOT NULL,
    CONSTRAINT pk_image_feed PRIMARY KEY (project_id)
);
COMMENT ON COLUMN image_feed.pruned_up_to IS 'the highest xid of the project''s changes that were deleted';
"""

# A row of image_change stays short enough to be kept in one piece, neither compressed nor cut.
_IDS_A_ROW = 500

# Writers pay for what is told: of an update only the new rows are read, and of those the first columns alone. Images
# that get another id or project are told of row by row, and tombstones once too often.
# The plans of these functions are made once a session, by the first statement's number of rows: UNION, EXCEPT and the
# lookup by id are quick with any number, which a join of the transition tables is not.
_IMAGE_SOURCES = {
    "insert": "SELECT project_id, id FROM new_rows",
    "update": "SELECT project_id, id FROM new_rows",
    "delete": "SELECT project_id, id FROM old_rows WHERE removed_at IS NULL",
}
_TELL_MOVED = "INSERT INTO image_change (project_id, image_ids) VALUES (OLD.project_id, ARRAY[OLD.id])"
_MOVED = """
CREATE TRIGGER tell_image_moved AFTER UPDATE OF id, project_id ON image FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.project_id <> NEW.project_id) EXECUTE FUNCTION tell_image_moved();
ALTER TABLE image ENABLE ALWAYS TRIGGER tell_image_moved;
"""
_PLATFORM_SOURCES = {
    "insert": "SELECT parent_id FROM new_rows",
    "update": "SELECT parent_id FROM new_rows UNION SELECT parent_id FROM old_rows",
    "delete": "SELECT parent_id FROM old_rows",
}
_ROWS = {"old_rows": "OLD TABLE AS old_rows", "new_rows": "NEW TABLE AS new_rows"}
_SHOWN_OF_REGISTRY = "id, project_id, name, type"

# A platform whose image is gone belongs to no list any more.
_OF_PARENTS = """SELECT i.project_id, i.id FROM (SELECT DISTINCT parent_id FROM ({source}) AS told) AS p,
        LATERAL (SELECT project_id, id FROM image WHERE id = p.parent_id OFFSET 0) AS i"""
_TELL_IDS = f"""INSERT INTO image_change (project_id, image_ids)
    SELECT project_id, array_agg(id)
    FROM (SELECT project_id, id, (row_number() OVER () - 1) / {_IDS_A_ROW} AS part FROM ({{source}}) AS told) AS parts
    GROUP BY project_id, part"""  # noqa: S608 # constants
_TELL_REGISTRY = f"""INSERT INTO image_change (project_id)
    SELECT DISTINCT project_id FROM (
        (SELECT {_SHOWN_OF_REGISTRY} FROM old_rows EXCEPT SELECT {_SHOWN_OF_REGISTRY} FROM new_rows)
        UNION ALL
        (SELECT {_SHOWN_OF_REGISTRY} FROM new_rows EXCEPT SELECT {_SHOWN_OF_REGISTRY} FROM old_rows)) AS changed"""  # noqa: S608 # constants
_TELL_ALL = "INSERT INTO image_change (project_id) SELECT id FROM project"


def _function(name: str, statement: str) -> str:
    """Return a trigger function of one statement, which works whatever the search path of those who fire it.

    An index is taken however small the tables were when the session made its plan.
    """
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    {statement};
    RETURN NULL;
END $$;
"""


def _trigger(name: str, table: str, event: str, function: str, rows: str = "") -> str:
    """Return a trigger on a whole statement that fires in replicas' sessions and those of tools that load data, too."""
    return f"""
CREATE TRIGGER {name} AFTER {event.upper()} ON {table} {rows} FOR EACH STATEMENT EXECUTE FUNCTION {function}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};
"""


def _telling(name: str, table: str, event: str, statement: str) -> str:
    """Return a trigger with a function of the same name, and the rows that its statement reads."""
    rows = " ".join(clause for table_name, clause in _ROWS.items() if table_name in statement)
    return _function(name, statement) + _trigger(name, table, event, name, f"REFERENCING {rows}")


def upgrade() -> None:
    """Create them."""
    op.execute(_TABLES)
    for event, source in _IMAGE_SOURCES.items():
        op.execute(_telling(f"tell_image_{event}", "image", event, _TELL_IDS.format(source=source)))
    op.execute(_function("tell_image_moved", _TELL_MOVED) + _MOVED)
    for event, source in _PLATFORM_SOURCES.items():
        statement = _TELL_IDS.format(source=_OF_PARENTS.format(source=source))
        op.execute(_telling(f"tell_platform_{event}", "image_platform", event, statement))
    op.execute(_telling("tell_registry_update", "registry", "update", _TELL_REGISTRY))
    op.execute(_function("tell_truncate", _TELL_ALL))
    for table in ("image", "image_platform"):
        op.execute(_trigger(f"tell_{table}_truncate", table, "truncate", "tell_truncate"))
