"""From a registry's configuration to the adapter that speaks to it."""

from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.adapter import RegistryAdapter
from imagewarden.registry.errors import InvalidOption
from imagewarden.registry.oci import OciAdapter
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.transport import RegistryTransport

__all__ = ["open_adapter"]

_ADAPTERS = {RegistryType.OTHER: OciAdapter}


def open_adapter(kind: RegistryType, options: TransportOptions) -> RegistryAdapter:
    """Return the adapter of a kind of registry; nothing is sent yet. The caller closes it.

    Raises InvalidOption for a kind this version does not speak to, and for options that cannot be used.
    """
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        known = ", ".join(_ADAPTERS)
        raise InvalidOption(f"registries of type {kind} are not supported yet by this version; supported: {known}")
    return adapter(RegistryTransport(options))
