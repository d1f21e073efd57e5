"""The adapter for each kind of registry."""

from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.adapter import RegistryAdapter
from imagewarden.registry.errors import UnsupportedRegistry
from imagewarden.registry.oci import OciAdapter
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.transport import Transport

__all__ = ["ADAPTERS", "open_adapter"]

ADAPTERS = {RegistryType.OTHER: OciAdapter}
"""Adapters by the kind of registry they speak to."""


def open_adapter(kind: RegistryType, options: TransportOptions) -> RegistryAdapter:
    """Return an adapter; raises UnsupportedRegistry for a kind that this version does not speak to."""
    found = ADAPTERS.get(kind)
    if found is None:
        known = ", ".join(ADAPTERS)
        raise UnsupportedRegistry(f"registries of type {kind} are not supported by this version; it knows {known}")
    return found(Transport(options))
