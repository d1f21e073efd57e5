"""A row of the image list as the rest of the product sees it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

__all__ = ["Encoding", "ImageRow", "PlatformRow"]


class PlatformRow(msgspec.Struct, frozen=True, array_like=True):
    """One runnable child of a multi-architecture image."""

    id: int
    """Id of the child's own record."""
    config_digest: str
    """Config digest in hex; empty while the registry does not hold the child."""
    digest: str
    """Digest of the child's manifest."""
    os: str
    """Operating system."""
    architecture: str
    """Processor."""
    variant: str
    """Variant of the processor; may be empty."""
    scan_status: str
    """State of the child's scan."""
    vulnerability_count: int
    """Open vulnerabilities."""
    unsafe_setting_count: int
    """Failed checks."""
    malicious_file_count: int
    """Malicious files."""


class ImageRow(msgspec.Struct, frozen=True):
    """One (registry, namespace, name, tag); fields in the order that they are selected in."""

    id: int
    """Id of the record, 1 to 2**63 - 1."""
    namespace: str
    """First part of the repository's name; may be empty."""
    name: str
    """The rest of the repository's name."""
    config_digest: str
    """Config digest, for a multi-architecture image its own digest; hex; empty for schema 1."""
    digest: str
    """Digest of the manifest or index."""
    tag: str
    """The tag."""
    kind: str
    """Kind of image, by its registry."""
    registry_id: str
    """Id of the registry."""
    registry_name: str
    """Name of the registry."""
    registry_type: str
    """Kind of registry."""
    is_latest: bool
    """Whether this is its repository's newest row."""
    scan_status: str
    """State of the scan."""
    failure_code: str | None
    """Why the scan failed; on failed rows only."""
    failure_reason: str | None
    """The same for a person."""
    size: int
    """Bytes, 0 to 2**63 - 1."""
    updated_at: int
    """When the tag last changed, ms."""
    scanned_at: int | None
    """When the last scan ended, ms; None before the first."""
    synced_at: int
    """When a sync last saw the tag, ms."""
    vulnerability_count: int
    """Open vulnerabilities."""
    unsafe_setting_count: int
    """Failed checks."""
    malicious_file_count: int
    """Malicious files."""
    owner_domain: str | None
    """Owner account, of a shared image."""
    share_status: str | None
    """`expired` or `effective`, of a shared image."""
    scannable: bool
    """Whether a scan may be started."""
    is_index: bool
    """Whether the image holds several architectures."""
    instance_name: str
    """Name of the SWR enterprise instance, else empty."""
    instance_id: str
    """Its id, else empty."""
    instance_url: str
    """Its address, else empty."""
    risk_level: str | None
    """Worst finding; None before the first complete scan."""
    os: str
    """Operating system; empty for a multi-architecture image."""
    architecture: str
    """Processor; empty for a multi-architecture image."""
    variant: str
    """Variant of the processor; may be empty."""
    platforms: list[Any] | None
    """The children of a multi-architecture image as they come from the database; see `children`."""

    @property
    def children(self) -> tuple[PlatformRow, ...]:
        """The runnable children of a multi-architecture image, in the index's order."""
        return msgspec.convert(self.platforms or (), tuple[PlatformRow, ...])


class Encoding(NamedTuple):
    """How rows become the bytes that are sent."""

    name: str
    """Changes whenever the bytes do: a model of another name is built again."""
    encode: Callable[[ImageRow], bytes]
    """A function of a module, so that other processes can be told of it."""
