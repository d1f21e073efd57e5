"""The demonstration: real images in a registry on this machine, synchronised and listed."""

__all__: list[str] = []
