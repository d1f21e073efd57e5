"""Tables of domains, projects, users, and what they authenticate with."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from imagewarden.storage.metadata import metadata

__all__ = ["access_key", "domain", "enterprise_project", "project", "role_assignment", "token", "user_account"]

domain = Table(
    "domain",
    metadata,
    Column("id", Text, primary_key=True, comment="32 hex digits"),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)
"""A tenant: users, projects and registries of one never see another's."""

project = Table(
    "project",
    metadata,
    Column("id", Text, primary_key=True, comment="32 hex digits"),
    Column("domain_id", Text, ForeignKey("domain.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
)
"""What registries belong to and roles are given in."""

enterprise_project = Table(
    "enterprise_project",
    metadata,
    Column("domain_id", Text, ForeignKey("domain.id"), primary_key=True),
    Column("id", Text, primary_key=True, comment="0 is the domain's default one"),
    Column("name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
)
"""A second partition of a domain's registries, across projects."""

user_account = Table(
    "user_account",
    metadata,
    Column("id", Text, primary_key=True, comment="32 hex digits"),
    Column("domain_id", Text, ForeignKey("domain.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("password_hash", Text, nullable=False, comment="argon2id, PHC string"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", BigInteger, nullable=False),
    Column("password_changed_at", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
)
"""A person or a program."""

role_assignment = Table(
    "role_assignment",
    metadata,
    Column("user_id", Text, ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Text, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("enterprise_project_id", Text, primary_key=True, comment="* for every one"),
    Column("role", Text, nullable=False),
    CheckConstraint("role IN ('admin', 'operator', 'viewer')", name="role"),
)
"""What a user may do in a project, within one enterprise project or all."""

token = Table(
    "token",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of the token; the token itself is not kept"),
    Column("user_id", Text, ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", Text, ForeignKey("project.id", ondelete="CASCADE"), comment="scope; absent = the domain"),
    Column("methods", ARRAY(Text), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Index("ix_token_expires_at", "expires_at"),
)
"""Tokens given out by POST /v3/auth/tokens or `imagewarden admin token`."""

access_key = Table(
    "access_key",
    metadata,
    Column("access", Text, primary_key=True, comment="20 characters, public"),
    Column("user_id", Text, ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret_encrypted", LargeBinary, nullable=False, comment="sealed by the vault, bound to the access key"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
)
"""Keys that sign requests."""
