"""All operations of the v5 API; apart from its package, for whoever needs the form of a row and no web framework."""

from imagewarden.api.v5.image_export import export_registry_images
from imagewarden.api.v5.registry_images import list_registry_images

__all__ = ["HANDLERS"]

HANDLERS = (list_registry_images, export_registry_images)
"""Every operation of the v5 API."""
