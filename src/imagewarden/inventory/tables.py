"""Tables of the image list: registries, images, and the platforms of multi-architecture images.

Columns carry the field's own names; api/v5 alone knows what the product API calls them.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from imagewarden.model.registry_kind import ImageType, RegistryType
from imagewarden.model.scan import FailureCode, RiskLevel, ScanStatus
from imagewarden.storage.metadata import metadata

__all__ = ["image", "image_platform", "registry"]


def _choice(kind: type, name: str) -> Enum:
    """Store a StrEnum by value, as text with a check: new values need no ALTER TYPE."""
    return Enum(
        *[member.value for member in kind],  # type: ignore[attr-defined] # every caller passes a StrEnum
        name=name,
        native_enum=False,
        create_constraint=True,
        length=64,
    )


image_id_sequence = Sequence("image_id_seq", metadata=metadata)
"""One sequence for images and platforms: an id names one of them, never both."""
_NEXT_ID = "nextval('image_id_seq'::regclass)"

registry = Table(
    "registry",
    metadata,
    Column("id", Text, primary_key=True, comment="32 hex digits"),
    Column("project_id", Text, ForeignKey("project.id"), nullable=False),
    Column("domain_id", Text, nullable=False),
    Column("enterprise_project_id", Text, nullable=False, server_default="0"),
    Column("name", Text, nullable=False, comment="1 to 128 characters, unique in its project"),
    Column("type", _choice(RegistryType, "registry_type"), nullable=False),
    Column("url", Text, nullable=False, comment="scheme, host and port; never with credentials"),
    Column("username", Text),
    Column("password_encrypted", LargeBinary, comment="sealed by the vault, bound to b'registry:' + id"),
    Column("options", JSONB, nullable=False, server_default=text("'{}'"), comment="sync.source.SourceOptions"),
    Column("sync_interval", Integer, nullable=False, server_default="3600", comment="seconds; 0 = by command only"),
    Column("created_at", BigInteger, nullable=False),
    Column("catalog_completed_at", BigInteger, comment="first complete listing of its repositories"),
    Column("synced_at", BigInteger, comment="end of the last sync that succeeded, whole or in part"),
    UniqueConstraint("project_id", "name"),
    ForeignKeyConstraint(
        ["domain_id", "enterprise_project_id"], ["enterprise_project.domain_id", "enterprise_project.id"]
    ),
)

image = Table(
    "image",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, server_default=text(_NEXT_ID)),
    Column("project_id", Text, ForeignKey("project.id"), nullable=False),
    Column("enterprise_project_id", Text, nullable=False, server_default="0"),
    Column("registry_id", Text, ForeignKey("registry.id", ondelete="CASCADE"), nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("tag", Text, nullable=False, comment="the tag"),
    Column("digest", Text, nullable=False, comment="of the manifest or index the tag points to"),
    Column("config_digest", Text, nullable=False, comment="config digest, for an index its own; hex without algorithm"),
    Column("kind", _choice(ImageType, "image_type"), nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes of config and layers, each blob once"),
    Column("os", Text, nullable=False, server_default="", comment="empty for a multi-architecture image"),
    Column("architecture", Text, nullable=False, server_default=""),
    Column("variant", Text, nullable=False, server_default=""),
    Column("is_latest", Boolean, nullable=False, server_default=text("false")),
    Column("scannable", Boolean, nullable=False),
    Column("is_index", Boolean, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("synced_at", BigInteger, nullable=False),
    Column("scanned_at", BigInteger, comment="absent until a scan ended"),
    Column("scan_status", _choice(ScanStatus, "scan_status"), nullable=False, server_default=ScanStatus.UNSCAN.value),
    Column("failure_code", _choice(FailureCode, "failure_code")),
    Column("failure_reason", Text),
    Column("vulnerability_count", Integer, nullable=False, server_default="0"),
    Column("unsafe_setting_count", Integer, nullable=False, server_default="0"),
    Column("malicious_file_count", Integer, nullable=False, server_default="0"),
    Column("risk_level", _choice(RiskLevel, "risk_level"), comment="absent until a scan succeeded"),
    Column("owner_domain", Text, comment="owner account of a shared image"),
    Column("share_status", Text, comment="expired or effective, of a shared image"),
    Column("instance_id", Text, nullable=False, server_default=""),
    Column("instance_name", Text, nullable=False, server_default=""),
    Column("instance_url", Text, nullable=False, server_default=""),
    Column("sync_run_id", BigInteger, nullable=False, comment="the sync that last saw the tag"),
    Column("missing_since", BigInteger, comment="first complete listing without it, while its removal is held"),
    Column("removed_at", BigInteger, comment="tombstone: the tag is gone, the row is no longer listed"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint(
        "vulnerability_count >= 0 AND unsafe_setting_count >= 0 AND malicious_file_count >= 0", name="counts"
    ),
    CheckConstraint("share_status IN ('expired', 'effective')", name="share_status"),
    Index(
        "uq_image_live_tag", "registry_id", "namespace", "name", "tag",
        unique=True, postgresql_where=text("removed_at IS NULL"),
    ),
    Index(
        "ix_image_live_project_id", "project_id", "id",
        postgresql_include=["enterprise_project_id"], postgresql_where=text("removed_at IS NULL"),
    ),
    Index("ix_image_tombstone", "removed_at", postgresql_where=text("removed_at IS NOT NULL")),
    postgresql_with={"fillfactor": "85"},
)  # fmt: skip
"""One row a (registry, namespace, name, tag); a removed tag keeps its row as a tombstone."""

image_platform = Table(
    "image_platform",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, server_default=text(_NEXT_ID)),
    Column("parent_id", BigInteger, ForeignKey("image.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False, comment="order within the index, from 0"),
    Column("digest", Text, nullable=False),
    Column("config_digest", Text, nullable=False, comment="config digest, hex; empty while the child is missing"),
    Column("os", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("scan_status", _choice(ScanStatus, "scan_status"), nullable=False, server_default=ScanStatus.UNSCAN.value),
    Column("vulnerability_count", Integer, nullable=False, server_default="0"),
    Column("unsafe_setting_count", Integer, nullable=False, server_default="0"),
    Column("malicious_file_count", Integer, nullable=False, server_default="0"),
    UniqueConstraint("parent_id", "digest", "position"),
)
"""The runnable children of a multi-architecture image (contract: Table 6)."""
