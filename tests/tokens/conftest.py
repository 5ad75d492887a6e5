"""Fixtures of the token tests: both sides of TLS at an address, signed by an authority that only the tests trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for a server on 127.0.0.1 and for a client that trusts it."""
    authority = Authority(tmp_path)
    return authority.context("127.0.0.1"), ssl.create_default_context(cafile=str(authority.ca_file))
