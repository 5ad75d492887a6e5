"""`config-reference`: Print every key of the configuration as commented YAML, each with its meaning and its default."""

from __future__ import annotations

import sys

from proxy.commands.terminal import OK
from proxy.config.reference import commented_yaml

HEAD = """\
# Every key of the configuration of ads-proxy, at its default. Take the `#` in front of a key away to change it; a
# text with <...> has no default. A secret is {file: PATH}, {env: NAME} or a text in quotes.

"""


def config_reference() -> int:

    sys.stdout.write(HEAD + commented_yaml())
    return OK
