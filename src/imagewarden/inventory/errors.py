"""What can go wrong with the image list."""

from imagewarden.model.errors import ImagewardenError

__all__ = [
    "InvalidRegistry",
    "InventoryError",
    "ModelBusy",
    "ModelDamaged",
    "ModelUnavailable",
    "RegistryExists",
    "UnknownRegistry",
]


class InventoryError(ImagewardenError):
    """Root of this room's errors."""


class UnknownRegistry(InventoryError):
    """A registry that is not in the project."""


class RegistryExists(InventoryError):
    """A name that another registry of the project has."""


class InvalidRegistry(InventoryError):
    """A registry whose name, address or options are not usable."""


class ModelDamaged(InventoryError):
    """A file of the read model that is torn, damaged or foreign: the model has to be built again."""


class ModelBusy(InventoryError):
    """The read model is written by another process."""


class ModelUnavailable(InventoryError):
    """No version of the read model can be answered from."""
