"""The benchmark's picture shows all contenders, and one that takes ten times the others does not make them small."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.document import picture
from benchmarks.findings import Findings
from benchmarks.measure import Sample

SVG = "{http://www.w3.org/2000/svg}"
COSTS = {"nginx": 10e-6, "ads-proxy": 12e-6, "Envoy": 20e-6, "mitmproxy": 900e-6}


def test_a_bar_that_would_leave_no_room_for_the_others_is_cut_and_says_so() -> None:
    """All others keep their proportions, and the cut bar's number is there."""
    samples = {("one target", name): [Sample(cost, 1.0, 1.0, 1.0, 1.0)] for name, cost in COSTS.items()}
    drawn = ElementTree.fromstring(picture(Findings((), samples, {}, {})))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect")]
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert widths[1] / widths[0] == pytest.approx(1.2, rel=0.01)
    assert widths[3] == 420
    assert texts[-2:] == ["mitmproxy", "900.0 (the bar is cut)"]
