"""The HSS v5 image API, one module a resource group; the only place that knows its wire names."""

from imagewarden.api.v5.image_export import export_registry_images
from imagewarden.api.v5.registry_images import list_registry_images

__all__ = ["HANDLERS"]

HANDLERS = (list_registry_images, export_registry_images)
"""Every operation of the v5 API."""
