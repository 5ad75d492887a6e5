"""Where the command line begins: `serve`, which is waited for, is read here; everything else, and its help, in `cli`.

The library that reads command lines takes a tenth of the time until the program serves. So `serve` with its options
each at most once, as `--name value`, is read without it. Whatever else stands there is declined, and read by `cli`.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.commands.terminal import INTERRUPTED, complain
from proxy.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVE_OPTIONS: Final = {
    "--config": "config",
    "-c": "config",
    "--env-file": "env_file",
    "--listen": "listen",
    "--admin-listen": "admin_listen",
}
"""The options of `serve` and what each sets: those that `cli` declares."""


def main() -> None:
    """Run the command line; a failure with a name becomes its lines and its exit code."""
    plain = read_plain_serve(sys.argv[1:])
    if plain is None:
        from proxy.commands.cli import main as run_any

        run_any()
        return
    gc.disable()  # what a start makes is kept; garbage is looked for from when the program serves
    try:
        from proxy.commands.serve import ServeRequest, serve

        paths = {name: Path(plain[name]) for name in ("config", "env_file") if name in plain}
        code = serve(ServeRequest(**paths, listen=plain.get("listen"), admin_listen=plain.get("admin_listen")))
    except StartupError as error:
        complain(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def read_plain_serve(arguments: Sequence[str]) -> Mapping[str, str] | None:
    """What each option of a plain `serve` is given; None for any other command line. Pure."""
    if not arguments or arguments[0] != "serve" or len(arguments) % 2 == 0:
        return None
    found: dict[str, str] = {}
    for option, value in zip(arguments[1::2], arguments[2::2], strict=True):
        name = SERVE_OPTIONS.get(option)
        if name is None or name in found or value.startswith("-"):
            return None
        found[name] = value
    return found
