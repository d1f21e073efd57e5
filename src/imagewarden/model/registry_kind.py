"""Kinds of registry, and the kind of image each holds (image list, `registry_type` and `image_type`)."""

from enum import StrEnum

__all__ = ["IMAGE_TYPES", "ImageType", "RegistryType"]


class RegistryType(StrEnum):
    """What a registry is; the values are the product API's."""

    SWR_PRIVATE = "SwrPrivate"
    SWR_SHARED = "SwrShared"
    SWR_ENTERPRISE = "SwrEnterprise"
    HARBOR = "Harbor"
    JFROG = "Jfrog"
    OTHER = "Other"
    """Any registry of the OCI distribution specification."""


class ImageType(StrEnum):
    """What kind of image a row is; `other` is beyond the contract's five."""

    PRIVATE_IMAGE = "private_image"
    SHARED_IMAGE = "shared_image"
    INSTANCE_IMAGE = "instance_image"
    HARBOR = "harbor"
    JFROG = "jfrog"
    OTHER = "other"


IMAGE_TYPES = {
    RegistryType.SWR_PRIVATE: ImageType.PRIVATE_IMAGE,
    RegistryType.SWR_SHARED: ImageType.SHARED_IMAGE,
    RegistryType.SWR_ENTERPRISE: ImageType.INSTANCE_IMAGE,
    RegistryType.HARBOR: ImageType.HARBOR,
    RegistryType.JFROG: ImageType.JFROG,
    RegistryType.OTHER: ImageType.OTHER,
}
"""The image type of each registry type's rows."""
