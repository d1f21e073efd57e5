"""The demonstration's view of the image list."""

import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import msgspec
import pytest
from rich.console import Console

from demo.errors import DemoError
from demo.installation import Credentials
from demo.listing import Api, ListedImage, table_of

WHO = Credentials("p" * 32, "account", "admin", "secret-password", "AK", "SK")


def listed(number: int, **changes: Any) -> dict[str, Any]:
    """Return a row as the API gives it, the fields nobody reads left out."""
    row = {
        "namespace": "shop",
        "image_name": "web",
        "image_version": f"1.{number}",
        "image_size": 1_234_567,
        "scan_status": "unscan",
        "latest_update_time": 1_750_000_000_000,
        "is_multiple_arch": False,
    }
    return {**row, **changes}


def printed(*rows: dict[str, Any]) -> list[list[str]]:
    """Return the cells of the table's lines, as a person sees them."""
    console = Console(width=150, file=io.StringIO())
    with console.capture() as shown:
        console.print(table_of(msgspec.json.decode(msgspec.json.encode(rows), type=list[ListedImage])))
    lines = shown.get().splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]


def test_table() -> None:
    """Rows go by repository and then by age; a name without a namespace stands alone, markup in it is text."""
    children = [{"id": 1}, {"id": 2}]
    assert printed(
        listed(1),
        listed(2, latest_update_time=1_760_000_000_000),
        listed(3, namespace="", image_name="hello", image_version="[red]x", image_size=727),
        listed(4, namespace="base", is_multiple_arch=True, association_images=children, severity_level="High"),
    ) == [
        ["base/web", "1.4", "multi-arch (2)", "1.2 MB", "unscan", "High", "2025-06-15 15:06"],
        ["hello", "[red]x", "one", "0.7 kB", "unscan", "-", "2025-06-15 15:06"],
        ["shop/web", "1.2", "one", "1.2 MB", "unscan", "-", "2025-10-09 08:53"],
        ["shop/web", "1.1", "one", "1.2 MB", "unscan", "-", "2025-06-15 15:06"],
    ]


class _Refusing(BaseHTTPRequestHandler):
    """An API that admits nobody."""

    def do_POST(self) -> None:
        """Refuse a login."""
        answer = json.dumps({"error": {"message": "the name or the password is wrong"}}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """Give the address of an API that admits nobody."""
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_refused_login(refusing: str) -> None:
    """A refusal says what was asked and answered, never the password."""
    with pytest.raises(DemoError, match=r"POST /v3/auth/tokens was answered with 401: .*password is wrong") as caught:
        Api(refusing, WHO)
    assert "secret-password" not in str(caught.value)


def test_api_that_is_away() -> None:
    """An API that does not answer is one sentence."""
    with pytest.raises(DemoError, match="POST /v3/auth/tokens failed"):
        Api("http://127.0.0.1:1", WHO)
