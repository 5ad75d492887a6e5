"""A run of the tests on the ordinary path: `FAST_PATH=false` in its environment, for whatever starts the program."""

from __future__ import annotations

import os

SETTING = {"ADS_PROXY_FAST_PATH": os.environ["FAST_PATH"]} if "FAST_PATH" in os.environ else {}
"""For the environment of a program, and for that which a configuration is read from; a test may set it otherwise."""
