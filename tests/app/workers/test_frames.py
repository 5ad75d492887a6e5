"""Messages as bytes: they come out as they went in, in whatever pieces."""

from __future__ import annotations

import pytest

from proxy.app.workers.frames import FrameMalformed, FrameReader, pack


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 1000])
def test_messages_come_out_whole_in_whatever_pieces(size: int) -> None:
    """Two messages, cut anywhere, come out in their order."""
    data = pack("token", account="acme", value="é") + pack("drain")
    reader, found = FrameReader(), []
    for at in range(0, len(data), size):
        found += reader.feed(data[at : at + size])
    assert found == [{"kind": "token", "account": "acme", "value": "é"}, {"kind": "drain"}]
    assert repr(reader) == "<FrameReader: 0 bytes waiting>"


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"kind": 1}'])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    """Bytes that nobody of this program sends are an error, and nothing is guessed."""
    with pytest.raises(FrameMalformed):
        FrameReader().feed(len(body).to_bytes(4, "big") + body)
