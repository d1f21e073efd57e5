"""Identity changes: the database tells when callers that are remembered may not be who they were."""

from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0003"
down_revision = "0002"

# A row of the image feed that belongs to no project (imagewarden.inventory.feed.IDENTITIES).
_FUNCTION = """
CREATE FUNCTION tell_identities() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO image_change (project_id) VALUES ('');
    RETURN NULL;
END $$;
"""

_WATCHED = {
    "token": "UPDATE OR DELETE",  # nobody remembers a new one yet
    "user_account": "UPDATE OR DELETE",
    "domain": "UPDATE OR DELETE",
    "project": "UPDATE OR DELETE",
    "role_assignment": "INSERT OR UPDATE OR DELETE",
}


def upgrade() -> None:
    """Create them."""
    op.execute(_FUNCTION)
    for table, events in _WATCHED.items():
        op.execute(
            f"CREATE TRIGGER tell_{table} AFTER {events} OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION tell_identities();"
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER tell_{table};"
        )
