"""Pictures of a page in headless Chromium: taken the same way each time, made small, and compared pixel by pixel.

The browser itself decodes, counts colours and compares, so that no library for images is needed.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from selenium import webdriver

NOTABLE: Final = 40
"""The difference of one colour, of 255, from which a pixel differs. What the palette rounds differs by less."""

_PIXELS = """
const pixels = async (png) => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + png;
  await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), {width: image.width, height: image.height});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
};
"""
_DIFFERING = f"""{_PIXELS}
const [one, other, notable, done] = arguments;
Promise.all([pixels(one), pixels(other)]).then(([a, b]) => {{
  if (a.width !== b.width || a.height !== b.height) return done([[a.width, a.height], [b.width, b.height]]);
  let differing = 0;
  for (let at = 0; at < a.data.length; at += 4) {{
    if ([0, 1, 2].some(colour => Math.abs(a.data[at + colour] - b.data[at + colour]) > notable)) differing += 1;
  }}
  done(differing / (a.width * a.height));
}});
"""
_INDEXED = f"""{_PIXELS}
const [png, done] = arguments;
pixels(png).then(({{width, height, data}}) => {{
  const counts = new Map();
  const colour = (at) => (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
  for (let at = 0; at < data.length; at += 4) counts.set(colour(at), (counts.get(colour(at)) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([each]) => each);
  const indexes = new Map(palette.map((each, index) => [each, index]));
  const far = (a, b) => [16, 8, 0].reduce((sum, shift) => sum + (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2, 0);
  const nearest = (wanted) =>
    palette.reduce((best, each, at) => far(each, wanted) < far(palette[best], wanted) ? at : best, 0);
  let bytes = '';
  for (let at = 0; at < data.length; at += 4) {{
    const wanted = colour(at);
    if (!indexes.has(wanted)) indexes.set(wanted, nearest(wanted));
    bytes += String.fromCharCode(indexes.get(wanted));
  }}
  done([width, height, palette, btoa(bytes)]);
}});
"""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at. `scale` is how many pixels of the picture one of the page has."""

    width: int
    height: int
    scheme: str
    scale: int = 1


def look_at(browser: webdriver.Chrome, look: Look) -> None:
    """Sets size and colour scheme of the open tab."""
    scheme = {"name": "prefers-color-scheme", "value": look.scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    size = {"width": look.width, "height": look.height, "deviceScaleFactor": look.scale, "mobile": look.width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})


def differing(browser: webdriver.Chrome, one: bytes, other: bytes) -> float:
    """The share of pixels that differ. Raises `AssertionError` for pictures of different sizes."""
    found: Any = _run(browser, _DIFFERING, *map(_text, (one, other)), NOTABLE)
    assert isinstance(found, int | float), f"the pictures have different sizes: {found}"
    return float(found)


def small(browser: webdriver.Chrome, png: bytes) -> bytes:
    """A picture as a PNG with at most 256 colours."""
    width, height, colours, encoded = _run(browser, _INDEXED, _text(png))
    pixels = base64.b64decode(encoded)
    rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))
    palette = b"".join(colour.to_bytes(3, "big") for colour in colours)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _run(browser: webdriver.Chrome, script: str, *arguments: Any) -> Any:
    """On an empty page: the console's would refuse pictures from elsewhere."""
    browser.get("about:blank")
    return browser.execute_async_script(script, *arguments)


def _text(png: bytes) -> str:
    return base64.b64encode(png).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
