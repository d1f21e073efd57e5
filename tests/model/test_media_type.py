"""Media types as headers and manifests write them."""

import pytest

from imagewarden.model.media_type import OCI_INDEX, bare_media_type


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (OCI_INDEX, OCI_INDEX),
        (f"{OCI_INDEX}; charset=utf-8", OCI_INDEX),
        (f" {OCI_INDEX.upper()} ;x", OCI_INDEX),
        ("application/json", "application/json"),
        ("", ""),
        ("json", ""),
        ("a/b/c", ""),
        ("a/\0", ""),
        ("a/" + "b" * 200, ""),
        (None, ""),
        (5, ""),
    ],
)
def test_bare_media_type(text: object, bare: str) -> None:
    assert bare_media_type(text) == bare
