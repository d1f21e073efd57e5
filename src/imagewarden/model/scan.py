"""States and outcomes of a scan, in the image list's own words."""

from enum import StrEnum

__all__ = ["FAILED_STATUSES", "FailureCode", "RiskLevel", "ScanStatus"]


class ScanStatus(StrEnum):
    """Where an image's scan stands."""

    UNSCAN = "unscan"
    SUCCESS = "success"
    SCANNING = "scanning"
    FAILED = "failed"
    DOWNLOAD_FAILED = "download_failed"
    IMAGE_OVERSIZED = "image_oversized"
    WAITING_FOR_SCAN = "waiting_for_scan"


FAILED_STATUSES = (ScanStatus.FAILED, ScanStatus.DOWNLOAD_FAILED, ScanStatus.IMAGE_OVERSIZED)
"""The three kinds of failed scan: rows in these states carry a failure code and a reason."""


class RiskLevel(StrEnum):
    """An image's worst finding; `Security` says that a complete scan found nothing."""

    SECURITY = "Security"
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class FailureCode(StrEnum):
    """Why a scan failed, in the contract's order (the first that applies is the row's code)."""

    UNKNOWN_ERROR = "unknown_error"
    AUTHENTICATION_FAILED = "authentication_failed"
    DOWNLOAD_FAILED = "download_failed"
    IMAGE_OVER_SIZED = "image_over_sized"
    GET_DETAIL_INFO_NOT_FOUND = "get_detail_info_not_found"
    IMAGE_LAYER_OVER_SIZED = "image_layer_over_sized"
    SCHEMA_V1_NOT_SUPPORT = "schema_v1_not_support"
    ACCESS_SWR_FAILED = "access_swr_failed"
    SWR_AUTHENTICATION_ERROR = "swr_authentication_error"
    FAILED_TO_SCAN_VULNERABILITY = "failed_to_scan_vulnerability"
    FAILED_TO_SCAN_FILE = "failed_to_scan_file"
    FAILED_TO_SCAN_SOFTWARE = "failed_to_scan_software"
    FAILED_TO_CHECK_SENSITIVE_INFORMATION = "failed_to_check_sensitive_information"
    FAILED_TO_CHECK_BASELINE = "failed_to_check_baseline"
    FAILED_TO_CHECK_SOFTWARE_COMPLIANCE = "failed_to_check_software_compliance"
    FAILED_TO_QUERY_BASIC_IMAGE_INFORMATION = "failed_to_query_basic_image_information"
    FAILED_TO_CHECK_BUILD_CMD = "failed_to_check_build_cmd"
    RESPONSE_TIMED_OUT = "response_timed_out"
    DATABASE_ERROR = "database_error"
    FAILED_TO_SEND_THE_SCAN_REQUEST = "failed_to_send_the_scan_request"
