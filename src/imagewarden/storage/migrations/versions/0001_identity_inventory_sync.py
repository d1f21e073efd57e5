"""Identity, inventory and sync: the tables of the first release."""

from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

_STATEMENTS = """
CREATE SEQUENCE image_id_seq;

CREATE TABLE domain (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT pk_domain PRIMARY KEY (id),
    CONSTRAINT uq_domain_name UNIQUE (name)
);
COMMENT ON COLUMN domain.id IS '32 hex digits';

CREATE TABLE enterprise_project (
    domain_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    CONSTRAINT pk_enterprise_project PRIMARY KEY (domain_id, id),
    CONSTRAINT fk_enterprise_project_domain_id FOREIGN KEY(domain_id) REFERENCES domain (id)
);
COMMENT ON COLUMN enterprise_project.id IS '0 is the domain''s default one';

CREATE TABLE project (
    id TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT pk_project PRIMARY KEY (id),
    CONSTRAINT uq_project_domain_id_name UNIQUE (domain_id, name),
    CONSTRAINT fk_project_domain_id FOREIGN KEY(domain_id) REFERENCES domain (id)
);
COMMENT ON COLUMN project.id IS '32 hex digits';

CREATE TABLE user_account (
    id TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    created_at BIGINT NOT NULL,
    password_changed_at BIGINT NOT NULL,
    CONSTRAINT pk_user_account PRIMARY KEY (id),
    CONSTRAINT uq_user_account_domain_id_name UNIQUE (domain_id, name),
    CONSTRAINT fk_user_account_domain_id FOREIGN KEY(domain_id) REFERENCES domain (id)
);
COMMENT ON COLUMN user_account.id IS '32 hex digits';
COMMENT ON COLUMN user_account.password_hash IS 'argon2id, PHC string';

CREATE TABLE access_key (
    access TEXT NOT NULL,
    user_id TEXT NOT NULL,
    secret_encrypted BYTEA NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT pk_access_key PRIMARY KEY (access),
    CONSTRAINT fk_access_key_user_id FOREIGN KEY(user_id) REFERENCES user_account (id) ON DELETE CASCADE
);
CREATE INDEX ix_access_key_user_id ON access_key (user_id);
COMMENT ON COLUMN access_key.access IS '20 characters, public';
COMMENT ON COLUMN access_key.secret_encrypted IS 'sealed by the vault, bound to the access key';

CREATE TABLE registry (
    id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    enterprise_project_id TEXT DEFAULT '0' NOT NULL,
    name TEXT NOT NULL,
    type VARCHAR(64) NOT NULL,
    url TEXT NOT NULL,
    username TEXT,
    password_encrypted BYTEA,
    options JSONB DEFAULT '{}' NOT NULL,
    sync_interval INTEGER DEFAULT '3600' NOT NULL,
    created_at BIGINT NOT NULL,
    catalog_completed_at BIGINT,
    synced_at BIGINT,
    CONSTRAINT pk_registry PRIMARY KEY (id),
    CONSTRAINT uq_registry_project_id_name UNIQUE (project_id, name),
    CONSTRAINT fk_registry_domain_id_enterprise_project_id FOREIGN KEY(domain_id,
        enterprise_project_id) REFERENCES enterprise_project (domain_id, id),
    CONSTRAINT fk_registry_project_id FOREIGN KEY(project_id) REFERENCES project (id),
    CONSTRAINT ck_registry_registry_type CHECK (type IN ('SwrPrivate', 'SwrShared', 'SwrEnterprise', 'Harbor',
        'Jfrog', 'Other'))
);
COMMENT ON COLUMN registry.id IS '32 hex digits';
COMMENT ON COLUMN registry.name IS '1 to 128 characters, unique in its project';
COMMENT ON COLUMN registry.url IS 'scheme, host and port; never with credentials';
COMMENT ON COLUMN registry.password_encrypted IS 'sealed by the vault, bound to b''registry:'' + id';
COMMENT ON COLUMN registry.options IS 'sync.source.SourceOptions';
COMMENT ON COLUMN registry.sync_interval IS 'seconds; 0 = by command only';
COMMENT ON COLUMN registry.catalog_completed_at IS 'first complete listing of its repositories';
COMMENT ON COLUMN registry.synced_at IS 'end of the last sync that succeeded, whole or in part';

CREATE TABLE role_assignment (
    user_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    enterprise_project_id TEXT NOT NULL,
    role TEXT NOT NULL,
    CONSTRAINT pk_role_assignment PRIMARY KEY (user_id, project_id, enterprise_project_id),
    CONSTRAINT ck_role_assignment_role CHECK (role IN ('admin', 'operator', 'viewer')),
    CONSTRAINT fk_role_assignment_user_id FOREIGN KEY(user_id) REFERENCES user_account (id) ON DELETE CASCADE,
    CONSTRAINT fk_role_assignment_project_id FOREIGN KEY(project_id) REFERENCES project (id) ON DELETE CASCADE
);
COMMENT ON COLUMN role_assignment.enterprise_project_id IS '* for every one';

CREATE TABLE token (
    token_hash BYTEA NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT,
    methods TEXT[] NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    CONSTRAINT pk_token PRIMARY KEY (token_hash),
    CONSTRAINT fk_token_user_id FOREIGN KEY(user_id) REFERENCES user_account (id) ON DELETE CASCADE,
    CONSTRAINT fk_token_project_id FOREIGN KEY(project_id) REFERENCES project (id) ON DELETE CASCADE
);
CREATE INDEX ix_token_expires_at ON token (expires_at);
CREATE INDEX ix_token_user_id ON token (user_id);
COMMENT ON COLUMN token.token_hash IS 'SHA-256 of the token; the token itself is not kept';
COMMENT ON COLUMN token.project_id IS 'scope; absent = the domain';

CREATE TABLE image (
    id BIGINT DEFAULT nextval('image_id_seq'::regclass) NOT NULL,
    project_id TEXT NOT NULL,
    enterprise_project_id TEXT DEFAULT '0' NOT NULL,
    registry_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    kind VARCHAR(64) NOT NULL,
    media_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    os TEXT DEFAULT '' NOT NULL,
    architecture TEXT DEFAULT '' NOT NULL,
    variant TEXT DEFAULT '' NOT NULL,
    is_latest BOOLEAN DEFAULT false NOT NULL,
    scannable BOOLEAN NOT NULL,
    is_index BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL,
    synced_at BIGINT NOT NULL,
    scanned_at BIGINT,
    scan_status VARCHAR(64) DEFAULT 'unscan' NOT NULL,
    failure_code VARCHAR(64),
    failure_reason TEXT,
    vulnerability_count INTEGER DEFAULT '0' NOT NULL,
    unsafe_setting_count INTEGER DEFAULT '0' NOT NULL,
    malicious_file_count INTEGER DEFAULT '0' NOT NULL,
    risk_level VARCHAR(64),
    owner_domain TEXT,
    share_status TEXT,
    instance_id TEXT DEFAULT '' NOT NULL,
    instance_name TEXT DEFAULT '' NOT NULL,
    instance_url TEXT DEFAULT '' NOT NULL,
    sync_run_id BIGINT NOT NULL,
    missing_since BIGINT,
    removed_at BIGINT,
    CONSTRAINT pk_image PRIMARY KEY (id),
    CONSTRAINT ck_image_size CHECK (size >= 0),
    CONSTRAINT ck_image_counts CHECK (vulnerability_count >= 0 AND unsafe_setting_count >= 0
        AND malicious_file_count >= 0),
    CONSTRAINT ck_image_share_status CHECK (share_status IN ('expired', 'effective')),
    CONSTRAINT fk_image_project_id FOREIGN KEY(project_id) REFERENCES project (id),
    CONSTRAINT fk_image_registry_id FOREIGN KEY(registry_id) REFERENCES registry (id) ON DELETE CASCADE,
    CONSTRAINT ck_image_image_type CHECK (kind IN ('private_image', 'shared_image', 'instance_image', 'harbor',
        'jfrog', 'other')),
    CONSTRAINT ck_image_scan_status CHECK (scan_status IN ('unscan', 'success', 'scanning', 'failed',
        'download_failed', 'image_oversized', 'waiting_for_scan')),
    CONSTRAINT ck_image_failure_code CHECK (failure_code IN ('unknown_error', 'authentication_failed',
        'download_failed', 'image_over_sized', 'get_detail_info_not_found', 'image_layer_over_sized',
        'schema_v1_not_support', 'access_swr_failed', 'swr_authentication_error', 'failed_to_scan_vulnerability',
        'failed_to_scan_file', 'failed_to_scan_software', 'failed_to_check_sensitive_information',
        'failed_to_check_baseline', 'failed_to_check_software_compliance', 'failed_to_query_basic_image_information',
        'failed_to_check_build_cmd', 'response_timed_out', 'database_error', 'failed_to_send_the_scan_request')),
    CONSTRAINT ck_image_risk_level CHECK (risk_level IN ('Security', 'Low', 'Medium', 'High'))
)
 WITH (fillfactor = 85);
CREATE INDEX ix_image_live_project_id ON image (project_id,
    id) INCLUDE (enterprise_project_id) WHERE removed_at IS NULL;
CREATE INDEX ix_image_tombstone ON image (removed_at) WHERE removed_at IS NOT NULL;
CREATE UNIQUE INDEX uq_image_live_tag ON image (registry_id, namespace, name, tag) WHERE removed_at IS NULL;
COMMENT ON COLUMN image.tag IS 'the tag';
COMMENT ON COLUMN image.digest IS 'of the manifest or index the tag points to';
COMMENT ON COLUMN image.config_digest IS 'config digest, for an index its own; hex without algorithm';
COMMENT ON COLUMN image.size IS 'bytes of config and layers, each blob once';
COMMENT ON COLUMN image.os IS 'empty for a multi-architecture image';
COMMENT ON COLUMN image.scanned_at IS 'absent until a scan ended';
COMMENT ON COLUMN image.risk_level IS 'absent until a scan succeeded';
COMMENT ON COLUMN image.owner_domain IS 'owner account of a shared image';
COMMENT ON COLUMN image.share_status IS 'expired or effective, of a shared image';
COMMENT ON COLUMN image.sync_run_id IS 'the sync that last saw the tag';
COMMENT ON COLUMN image.missing_since IS 'first complete listing without it, while its removal is held';
COMMENT ON COLUMN image.removed_at IS 'tombstone: the tag is gone, the row is no longer listed';

CREATE TABLE registry_repository (
    registry_id TEXT NOT NULL,
    repository TEXT NOT NULL,
    initial BOOLEAN NOT NULL,
    sync_run_id BIGINT NOT NULL,
    completed_at BIGINT,
    completed_run_id BIGINT,
    error_code TEXT,
    error TEXT,
    CONSTRAINT pk_registry_repository PRIMARY KEY (registry_id, repository),
    CONSTRAINT fk_registry_repository_registry_id FOREIGN KEY(registry_id) REFERENCES registry (id) ON DELETE CASCADE
);
COMMENT ON COLUMN registry_repository.repository IS 'whole name, as the registry knows it';
COMMENT ON COLUMN registry_repository.initial IS 'seen before the registry''s first complete listing';
COMMENT ON COLUMN registry_repository.sync_run_id IS 'the sync that last listed it';
COMMENT ON COLUMN registry_repository.completed_at IS 'last complete reading of its tags';
COMMENT ON COLUMN registry_repository.completed_run_id IS 'the sync that last read all its tags';
COMMENT ON COLUMN registry_repository.error_code IS 'of the last sync, where it failed';

CREATE TABLE skipped_tag (
    registry_id TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    sync_run_id BIGINT NOT NULL,
    CONSTRAINT pk_skipped_tag PRIMARY KEY (registry_id, repository, tag),
    CONSTRAINT fk_skipped_tag_registry_id FOREIGN KEY(registry_id) REFERENCES registry (id) ON DELETE CASCADE
);
COMMENT ON COLUMN skipped_tag.digest IS 'what the tag pointed to when it was read';
COMMENT ON COLUMN skipped_tag.reason IS 'artifact, attestation, signature, malformed ...';

CREATE TABLE sync_run (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    registry_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    heartbeat_at BIGINT,
    finished_at BIGINT,
    repositories_total INTEGER,
    repositories_done INTEGER DEFAULT '0' NOT NULL,
    repositories_failed INTEGER DEFAULT '0' NOT NULL,
    tags_seen BIGINT DEFAULT '0' NOT NULL,
    added BIGINT DEFAULT '0' NOT NULL,
    changed BIGINT DEFAULT '0' NOT NULL,
    removed BIGINT DEFAULT '0' NOT NULL,
    unchanged BIGINT DEFAULT '0' NOT NULL,
    held BIGINT DEFAULT '0' NOT NULL,
    skipped BIGINT DEFAULT '0' NOT NULL,
    error_code TEXT,
    error TEXT,
    problems JSONB DEFAULT '[]' NOT NULL,
    CONSTRAINT pk_sync_run PRIMARY KEY (id),
    CONSTRAINT ck_sync_run_state CHECK (state IN ('waiting', 'running', 'succeeded', 'partial', 'failed')),
    CONSTRAINT fk_sync_run_registry_id FOREIGN KEY(registry_id) REFERENCES registry (id) ON DELETE CASCADE
);
CREATE INDEX ix_sync_run_registry_id_id ON sync_run (registry_id, id);
COMMENT ON COLUMN sync_run.state IS 'waiting, running, succeeded, partial, failed';
COMMENT ON COLUMN sync_run.heartbeat_at IS 'a running run without one for minutes has died';
COMMENT ON COLUMN sync_run.repositories_total IS 'known once the listing of repositories ended';
COMMENT ON COLUMN sync_run.held IS 'removals waiting for a second listing';
COMMENT ON COLUMN sync_run.skipped IS 'tags that hold no image';
COMMENT ON COLUMN sync_run.error IS 'one sentence; never a secret';
COMMENT ON COLUMN sync_run.problems IS 'at most 100 {where, code, error}';

CREATE TABLE image_platform (
    id BIGINT DEFAULT nextval('image_id_seq'::regclass) NOT NULL,
    parent_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    digest TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT NOT NULL,
    size BIGINT NOT NULL,
    scan_status VARCHAR(64) DEFAULT 'unscan' NOT NULL,
    vulnerability_count INTEGER DEFAULT '0' NOT NULL,
    unsafe_setting_count INTEGER DEFAULT '0' NOT NULL,
    malicious_file_count INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_image_platform PRIMARY KEY (id),
    CONSTRAINT uq_image_platform_parent_id_digest_position UNIQUE (parent_id, digest, position),
    CONSTRAINT fk_image_platform_parent_id FOREIGN KEY(parent_id) REFERENCES image (id) ON DELETE CASCADE,
    CONSTRAINT ck_image_platform_scan_status CHECK (scan_status IN ('unscan', 'success', 'scanning', 'failed',
        'download_failed', 'image_oversized', 'waiting_for_scan'))
);
CREATE INDEX ix_image_platform_parent_id ON image_platform (parent_id);
COMMENT ON COLUMN image_platform.position IS 'order within the index, from 0';
COMMENT ON COLUMN image_platform.config_digest IS 'config digest, hex; empty while the child is missing';
"""


def upgrade() -> None:
    """Create them."""
    op.execute(_STATEMENTS)
