"""The vault: what it seals, and the keys it refuses."""

import base64
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.identity.errors import VaultError
from imagewarden.identity.vault import KEY_FILE, Vault, open_vault

KEY = bytes(range(32))
SEALED = Vault(KEY).seal("hunter2", "registry:1")


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_is_sealed_opens(secret: str, place: str) -> None:
    sealed = Vault(KEY).seal(secret, place)
    assert Vault(KEY).open(sealed, place) == secret
    assert len(secret) < 8 or secret.encode() not in sealed


def test_sealing_twice_differs() -> None:
    assert Vault(KEY).seal("hunter2", "registry:1") != SEALED


def test_another_place_does_not_open() -> None:
    with pytest.raises(VaultError, match="registry:2 is damaged"):
        Vault(KEY).open(SEALED, "registry:2")


def test_another_key_says_what_to_do() -> None:
    with pytest.raises(VaultError, match="another key; set IMAGEWARDEN_SECRET_KEY or restore") as caught:
        Vault(bytes(32)).open(SEALED, "registry:1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("at", range(len(SEALED)))
def test_every_changed_byte_is_noticed(at: int) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :], "registry:1")


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_every_cut_is_noticed(length: int) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(SEALED[:length], "registry:1")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_key_of_another_size(size: int) -> None:
    with pytest.raises(VaultError, match="32 bytes"):
        Vault(bytes(size))


@pytest.mark.parametrize("text", ["\u00e9", "***", "a"])
def test_key_of_the_environment_that_is_not_base64(text: str, tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="IMAGEWARDEN_SECRET_KEY is not base64") as caught:
        open_vault(tmp_path, text)
    assert text not in str(caught.value).partition(";")[0].replace("IMAGEWARDEN_SECRET_KEY is not base64", "")


def test_key_of_the_environment_wins(tmp_path: Path) -> None:
    opened = open_vault(tmp_path, base64.b64encode(KEY).decode() + "\n", create=True)
    assert opened.open(SEALED, "registry:1") == "hunter2"
    assert not list(tmp_path.iterdir())


def test_key_file_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    sealed = open_vault(tmp_path, None, create=True).seal("hunter2", "x")
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]
    assert open_vault(tmp_path, None, create=True).open(sealed, "x") == "hunter2"
    assert open_vault(tmp_path, None).open(sealed, "x") == "hunter2"


def test_key_file_made_by_many_at_once_is_one(tmp_path: Path) -> None:
    made: list[Vault] = []
    start = threading.Barrier(8)

    def open_one() -> None:
        start.wait()
        made.append(open_vault(tmp_path, None, create=True))

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.open(made[0].seal("s", "x"), "x") for each in made} == {"s"}
    assert len(made) == 8
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


def test_missing_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match=f"no key file {tmp_path}/{KEY_FILE}; run `imagewarden init`"):
        open_vault(tmp_path, None)


def test_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="cannot be written: No such file"):
        open_vault(tmp_path / "absent", None, create=True)


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / KEY_FILE
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_key_file_open_to_others(mode: int, tmp_path: Path) -> None:
    path = key_file(tmp_path, base64.b64encode(KEY), mode)
    with pytest.raises(VaultError, match=f"chmod 600 {path}"):
        open_vault(tmp_path, None, create=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_file_of_somebody_else(tmp_path: Path) -> None:
    os.chown(key_file(tmp_path, base64.b64encode(KEY)), 12345, -1)
    with pytest.raises(VaultError, match="must belong to the user who runs this"):
        open_vault(tmp_path, None)


@pytest.mark.parametrize("content", [b"", b"\xff" * 44, b"short", base64.b64encode(bytes(31))])
def test_key_file_with_something_else_in_it(content: bytes, tmp_path: Path) -> None:
    key_file(tmp_path, content)
    with pytest.raises(VaultError, match=r"not base64|32 bytes in base64"):
        open_vault(tmp_path, None, create=True)


def test_key_file_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / KEY_FILE).symlink_to(key_file(tmp_path / "elsewhere", base64.b64encode(KEY)))
    with pytest.raises(VaultError, match="cannot be read"):
        open_vault(tmp_path, None)


def test_key_file_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / KEY_FILE, 0o600)
    with pytest.raises(VaultError, match="not a regular file"):
        open_vault(tmp_path, None)
