"""`config-reference`: Print all configuration keys as commented YAML.

Each key has its meaning and its default.

Example: ads-proxy config-reference
"""

from __future__ import annotations

import sys

from proxy.commands.terminal import OK
from proxy.config.reference import commented_yaml

HEAD = """\
# Every key of the configuration of ads-proxy, at its default. To change a key, remove the `#` in front of it. A text
# with <...> has no default. A secret is {file: PATH}, {env: NAME}, {command: [...]} or a text in quotes.

"""


def config_reference() -> int:

    sys.stdout.write(HEAD + commented_yaml())
    return OK
