"""`python -m tests.soak`: soaks the program, prints the summary as JSON, and ends with 1 where something was wrong."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import failures, soaking


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, soaking(Path(folder)) as soak:
        summary = soak.run(given.seconds)
    wrong = failures(summary)
    print(json.dumps({**summary, "wrong": wrong}, indent=2, default=str))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
