"""docs/configuration.md against the settings there are."""

import re
import tomllib

import pytest

from imagewarden.settings import Settings, load_settings
from tests.support.shared import ROOT

PAGE = (ROOT / "docs/configuration.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+)", PAGE, re.MULTILINE))
    assert list(rows) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, str | int | bool):
            assert (
                rows[name].strip() == str(field.default).lower()
                if isinstance(field.default, bool)
                else str(field.default)
            )


def test_the_example_file_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    settings = load_settings(**tomllib.loads(example[1]))
    assert (settings.workers, settings.host, settings.log_json) == (2, "0.0.0.0", True)  # noqa: S104 # the example's
