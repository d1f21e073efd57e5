"""The image list's rows on the wire (contract: RegistryImagesInfo, AssociateImagesInfo)."""

from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from imagewarden.inventory.rows import Encoding, ImageRow, PlatformRow
from imagewarden.model.scan import FAILED_STATUSES

Given = TypeVar("Given", str, int)

__all__ = ["ENCODING", "AssociateImagesInfo", "ListRegistryImagesResponse", "RegistryImagesInfo", "list_body"]


class AssociateImagesInfo(msgspec.Struct, frozen=True):
    """One runnable child of a multi-architecture image (Table 6)."""

    id: int
    """Id of the child's own record."""
    image_id: str
    """Config digest in hex; empty while the registry does not hold the child."""
    image_name: str
    """The parent's."""
    image_version: str
    """The parent's."""
    image_type: str
    """The parent's."""
    namespace: str
    """The parent's."""
    image_digest: str
    """Digest of the child's manifest."""
    scan_status: str
    """State of the child's scan."""
    vul_num: int
    """Vulnerabilities."""
    unsafe_setting_num: int
    """Failed checks."""
    malicious_file_num: int
    """Malicious files."""


class RegistryImagesInfo(msgspec.Struct, frozen=True):
    """One image (Table 5)."""

    id: int
    """Id of the record."""
    namespace: str
    """First part of the repository's name."""
    image_name: str
    """The rest of the repository's name."""
    image_id: str
    """Config digest in hex; of a multi-architecture image its own."""
    image_digest: str
    """Digest of the manifest or index."""
    image_version: str
    """The tag."""
    image_type: str
    """Kind of image."""
    registry_id: str
    """Id of the registry."""
    registry_name: str
    """Name of the registry."""
    registry_type: str
    """Kind of registry."""
    latest_version: bool
    """Whether this is the repository's newest row."""
    scan_status: str
    """State of the scan."""
    image_size: int
    """Bytes, the full int64."""
    latest_update_time: int
    """When the tag last changed, ms."""
    latest_sync_time: int
    """When a sync last saw the tag, ms."""
    vul_num: int
    """Vulnerabilities."""
    unsafe_setting_num: int
    """Failed checks."""
    malicious_file_num: int
    """Malicious files."""
    scannable: bool
    """Whether a scan may be started."""
    is_multiple_arch: bool
    """Whether the image holds several architectures."""
    instance_name: str
    """SWR enterprise only, else empty."""
    instance_id: str
    """SWR enterprise only, else empty."""
    instance_url: str
    """SWR enterprise only, else empty."""
    scan_failed_desc: str | UnsetType = UNSET
    """Failed rows only: the reason for a person."""
    scan_failed_code: str | UnsetType = UNSET
    """Failed rows only: the reason's code."""
    latest_scan_time: int | UnsetType = UNSET
    """When the last scan ended, ms; absent before the first."""
    severity_level: str | UnsetType = UNSET
    """Worst finding; absent before the first complete scan."""
    domain_name: str | UnsetType = UNSET
    """Shared images only: the owner's account."""
    shared_status: str | UnsetType = UNSET
    """Shared images only: `expired` or `effective`."""
    association_images: list[AssociateImagesInfo] | UnsetType = UNSET
    """Multi-architecture images only."""


class ListRegistryImagesResponse(msgspec.Struct, frozen=True):
    """One page of the list."""

    total_num: int
    """Images that match, on all pages."""
    data_list: list[RegistryImagesInfo]
    """The images of this page."""


def _child(row: ImageRow, child: PlatformRow) -> AssociateImagesInfo:
    """Return a child of `row` on the wire."""
    return AssociateImagesInfo(
        id=child.id,
        image_id=child.config_digest,
        image_name=row.name,
        image_version=row.tag,
        image_type=row.kind,
        namespace=row.namespace,
        image_digest=child.digest,
        scan_status=child.scan_status,
        vul_num=child.vulnerability_count,
        unsafe_setting_num=child.unsafe_setting_count,
        malicious_file_num=child.malicious_file_count,
    )


def _given(value: Given | None) -> Given | UnsetType:
    """Return the value, UNSET for None: the field is left out."""
    return UNSET if value is None else value


def _image(row: ImageRow) -> RegistryImagesInfo:
    """Return a row on the wire."""
    failed = row.scan_status in FAILED_STATUSES
    return RegistryImagesInfo(
        id=row.id,
        namespace=row.namespace,
        image_name=row.name,
        image_id=row.config_digest,
        image_digest=row.digest,
        image_version=row.tag,
        image_type=row.kind,
        registry_id=row.registry_id,
        registry_name=row.registry_name,
        registry_type=row.registry_type,
        latest_version=row.is_latest,
        scan_status=row.scan_status,
        image_size=row.size,
        latest_update_time=row.updated_at,
        latest_sync_time=row.synced_at,
        vul_num=row.vulnerability_count,
        unsafe_setting_num=row.unsafe_setting_count,
        malicious_file_num=row.malicious_file_count,
        scannable=row.scannable,
        is_multiple_arch=row.is_index,
        instance_name=row.instance_name,
        instance_id=row.instance_id,
        instance_url=row.instance_url,
        scan_failed_desc=_given(row.failure_reason) if failed else UNSET,
        scan_failed_code=_given(row.failure_code) if failed else UNSET,
        latest_scan_time=_given(row.scanned_at),
        severity_level=_given(row.risk_level),
        domain_name=_given(row.owner_domain),
        shared_status=_given(row.share_status),
        association_images=[_child(row, child) for child in row.children] if row.is_index else UNSET,
    )


_ENCODER = msgspec.json.Encoder()


def _encode_row(row: ImageRow) -> bytes:
    return _ENCODER.encode(_image(row))


ENCODING = Encoding("hss-v5-1", _encode_row)
"""A row as it stands in a page's `data_list`, in JSON; the name changes with the bytes."""


def list_body(total: int, rows: list[bytes]) -> bytes:
    """Return a ListRegistryImagesResponse in JSON, of rows that were encoded before."""
    return b'{"total_num":%d,"data_list":[%b]}' % (total, b",".join(rows))
