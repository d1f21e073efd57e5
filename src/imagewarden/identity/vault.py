"""Secrets at rest: AES-256-GCM under a key that lives beside the data or in the environment, never in the database."""

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imagewarden.identity.errors import VaultError

__all__ = ["KEY_FILE", "Vault", "open_vault"]

KEY_FILE = "secret.key"
"""Name of the key file in the data folder: 32 bytes in base64, mode 0600."""

_VERSION = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12


class Vault:
    """Seals and opens small secrets.

    Sealed form: version (1 byte), key id (4), nonce (12), ciphertext with tag. A secret is bound to the place it
    belongs to, so that a sealed value copied to another row does not open.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise VaultError("the secret key must be 32 bytes in base64; make one with `openssl rand -base64 32`")
        self._cipher = AESGCM(key)
        self._id = hashlib.sha256(b"imagewarden key id" + key).digest()[:_ID_BYTES]

    def seal(self, secret: str, place: str) -> bytes:
        """Return `secret` sealed for `place`, such as `registry:<id>`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + self._id + nonce + self._cipher.encrypt(nonce, secret.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """Return what was sealed for `place`; raises VaultError for another key, another place or damage."""
        head = len(_VERSION) + _ID_BYTES
        if sealed[:1] != _VERSION or sealed[1:head] != self._id:
            raise VaultError(
                f"the secret of {place} was sealed with another key; set IMAGEWARDEN_SECRET_KEY or restore {KEY_FILE} "
                "as it was when the secret was stored, or store the secret again"
            )
        nonce, ciphertext = sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, place.encode()).decode()
        except (InvalidTag, ValueError):
            raise VaultError(f"the secret of {place} is damaged; store it again") from None


def _decode(text: bytes, where: str) -> bytes:
    """Return a key from its text."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        raise VaultError(f"{where} is not base64; make a key with `openssl rand -base64 32`") from None


def _read_file(path: Path) -> bytes:
    """Return the key of a file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise VaultError(f"the key file {path} is not a regular file")
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise VaultError(
                f"the key file {path} must belong to the user who runs this and be closed to everybody else; "
                f"check its owner and run chmod 600 {path}"
            )
        return _decode(file.read(1024), f"the key file {path}")


def _create_file(path: Path) -> None:
    """Write a new key, whole or not at all; another process that was quicker wins. Raises VaultError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
        _sync_folder(path.parent)
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """Make a new file's name as durable as what will be sealed with it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_vault(data_dir: Path, secret_key: str | None, *, create: bool = False) -> Vault:
    """Return the vault of an installation: by `secret_key` (base64), else by the data folder's key file.

    `create` makes the file when it is missing, as `imagewarden init` does; raises VaultError otherwise.
    """
    if secret_key:
        return Vault(_decode(secret_key.encode(), "IMAGEWARDEN_SECRET_KEY"))
    path = data_dir.expanduser().absolute() / KEY_FILE
    if create and not path.exists():
        _create_file(path)
    if not path.exists():
        raise VaultError(
            f"there is no key file {path}; run `imagewarden init`, name the right --data-dir, or set "
            "IMAGEWARDEN_SECRET_KEY to the key that the stored secrets were sealed with"
        )
    return Vault(_read_file(path))
