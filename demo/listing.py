"""The image list, fetched through the HTTP API as any client does, and shown as a table."""

from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
import msgspec
from rich.table import Table
from rich.text import Text

from demo.errors import DemoError
from demo.installation import Credentials

__all__ = ["Api", "ListedImage", "table_of"]

_PAGE = 200
_STYLES = {"High": "bold red", "Medium": "yellow", "Low": "blue", "Security": "green"}


class ListedImage(msgspec.Struct, frozen=True):
    """The fields of a row that the table shows."""

    namespace: str
    """First part of the repository's name; may be empty."""
    image_name: str
    """The rest of it."""
    image_version: str
    """The tag."""
    image_size: int
    """Bytes."""
    scan_status: str
    """State of the scan."""
    latest_update_time: int
    """When the tag last changed, ms since 1970 UTC."""
    is_multiple_arch: bool
    """Whether the image holds several architectures."""
    severity_level: str = "-"
    """Worst finding; absent before the first scan."""
    association_images: list[msgspec.Raw] = []
    """Its platforms, of a multi-architecture image."""

    @property
    def repository(self) -> str:
        """The repository's whole name."""
        return f"{self.namespace}/{self.image_name}" if self.namespace else self.image_name


class _Page(msgspec.Struct, frozen=True):
    total_num: int
    data_list: list[ListedImage]


class Api:
    """The HTTP API at one address, in the name of one user."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        """Log in with the password; raises DemoError when that is refused."""
        self._credentials = credentials
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.token = self._log_in()

    def images(self) -> list[ListedImage]:
        """Return every image of the project, page after page; raises DemoError."""
        found: list[ListedImage] = []
        while True:
            query: dict[str, int | str] = {"limit": _PAGE, "offset": len(found)}
            answer = self._ask("GET", self.list_path, params=query, headers={"X-Auth-Token": self.token})
            page = msgspec.json.decode(answer.content, type=_Page)
            found += page.data_list
            if not page.data_list or len(found) >= page.total_num:
                return found

    @property
    def list_path(self) -> str:
        """Path of the image list."""
        return f"/v5/{self._credentials.project_id}/image/registries/images"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _log_in(self) -> str:
        user = {
            "name": self._credentials.user,
            "password": self._credentials.password,
            "domain": {"name": self._credentials.domain},
        }
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"id": self._credentials.project_id}}
        answer = self._ask("POST", "/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
        return str(answer.headers["X-Subject-Token"])

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, int | str] | None = None,
        headers: dict[str, str] | None = None,
        json: object = None,
    ) -> httpx.Response:
        try:
            answer = self._client.request(method, path, params=params, headers=headers, json=json)
        except httpx.HTTPError as failure:
            raise DemoError(f"{method} {path} failed: {failure}") from failure
        if not answer.is_success:
            raise DemoError(f"{method} {path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer


def table_of(images: Sequence[ListedImage]) -> Table:
    """Return the images as a table, by repository, what changed last first."""
    table = Table(title="GET /v5/{project_id}/image/registries/images", title_justify="left", title_style="dim")
    for name in ("repository", "tag", "platforms"):
        table.add_column(name, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for name in ("status", "risk", "updated (UTC)"):
        table.add_column(name, no_wrap=True)
    for image in sorted(images, key=lambda each: (each.repository, -each.latest_update_time, each.image_version)):
        platforms = f"multi-arch ({len(image.association_images)})" if image.is_multiple_arch else "one"
        updated = datetime.fromtimestamp(image.latest_update_time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        risk = Text(image.severity_level, _STYLES.get(image.severity_level, "dim"))
        size = _human(image.image_size)
        table.add_row(
            Text(image.repository), Text(image.image_version), platforms, size, image.scan_status, risk, updated
        )
    return table


def _human(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
