"""The platform an image runs on (image-spec, image-index.md, `platform`)."""

import msgspec

__all__ = ["Platform"]


class Platform(msgspec.Struct, frozen=True, order=True):
    """Operating system, processor and variant, as the image names them; empty where it does not."""

    os: str = ""
    """`linux`, `windows`, ...; `unknown` marks a build attestation."""
    architecture: str = ""
    """`amd64`, `arm64`, ... (GOARCH)."""
    variant: str = ""
    """`v7`, `v8`, ..., for arm."""

    @property
    def is_unknown(self) -> bool:
        """Whether this is the `unknown/unknown` of an attestation: nothing that runs."""
        return self.os == "unknown" or self.architecture == "unknown"

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
