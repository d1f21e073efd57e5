"""From a stored registry to an open adapter: options, selection, credentials."""

import msgspec

from imagewarden.identity.vault import Vault
from imagewarden.inventory.registries import RegistryRecord, registry_password
from imagewarden.registry.adapter import RegistryAdapter
from imagewarden.registry.connect import open_adapter
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.selection import Selection
from imagewarden.sync.errors import InvalidSource

__all__ = ["Source", "SourceOptions", "open_source", "read_source"]


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach a registry and what to take from it; stored as JSON with the registry."""

    insecure: bool = False
    """Whether any TLS certificate is taken."""
    ca_file: str | None = None
    """PEM file of certificate authorities to trust besides the usual ones."""
    proxy: str | None = None
    """`http://host:port` of a proxy; None takes the environment's."""
    docker_config: str | None = None
    """Docker's config.json to ask for credentials."""
    token_hosts: tuple[str, ...] = ()
    """Token services on other hosts that get the credentials."""
    concurrency: int = 4
    """Requests at once, 1 to 64."""
    requests_per_second: float = 0.0
    """Pace; 0 for none."""
    selection: Selection = Selection()
    """Which repositories and tags are wanted."""


class Source(msgspec.Struct, frozen=True):
    """A registry, ready to be read."""

    record: RegistryRecord
    """The stored registry."""
    options: SourceOptions
    """Its options."""


def read_source(record: RegistryRecord) -> Source:
    """Return a stored registry with its options; raises InvalidSource when they cannot be read."""
    try:
        options = msgspec.convert(record.options, SourceOptions)
    except msgspec.ValidationError as error:
        raise InvalidSource(f"the options of registry {record.name} cannot be read: {error}; add it again") from None
    return Source(record, options)


def open_source(source: Source, vault: Vault) -> RegistryAdapter:
    """Return the adapter of a source; the caller closes it. Raises RegistryError kinds or VaultError."""
    record, options = source.record, source.options
    return open_adapter(
        record.type,
        TransportOptions(
            url=record.url,
            username=record.username,
            password=registry_password(record, vault),
            docker_config=options.docker_config,
            ca_file=options.ca_file,
            insecure=options.insecure,
            proxy=options.proxy,
            token_hosts=options.token_hosts,
            concurrency=options.concurrency,
            requests_per_second=options.requests_per_second,
        ),
    )
