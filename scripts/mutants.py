"""Change the program a little, many times, and see that a test fails each time: `make mutants`.

    python -m scripts.mutants [TARGET ...] [--sample N | --all] [--seed N]

The targets, their tests and the mutants that may live are in tests/mutants.toml; Cosmic Ray makes the mutants, in a
copy of the tree, so that the work tree is never touched. The tests run once unchanged, to learn which of them run which
line; a mutant then runs only those of its line. Ends with 1 if a mutant lives that is not explained. Some changes do
not alter behaviour and are left out: annotations, the arguments of `@dataclass`, the marks between parameters, texts,
and `is` to `==`, which are the same for the members of an enum.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cosmic_ray.commands.init import _all_work_items as all_work_items  # it has no other name
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "mutants"
Span = tuple[tuple[int, int], tuple[int, int]]
"""From and to, each as (line, column)."""
MOST_FAILING = 10
"""Tests that may fail without a mutant, as those do that a busy machine slows down."""
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Target:
    """Modules to change, and the tests that are to notice."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    sample: int


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A mutant as a person names it: the file, the lines that it takes away and those that it puts there."""

    module: str
    before: str
    after: str


def read_targets(document: dict[str, list[dict[str, object]]]) -> list[Target]:
    """The table of targets."""
    return [
        Target(str(row["name"]), tuple(row["modules"]), tuple(row["tests"]), int(row["sample"]))  # type: ignore[arg-type, call-overload]  # a table of TOML
        for row in document["targets"]
    ]


def read_explained(document: dict[str, list[dict[str, str]]]) -> dict[Change, str]:
    """The mutants that may live, with the reason."""
    return {
        Change(row["module"], row["before"].strip(), row["after"].strip()): row["because"]
        for row in document.get("explained", [])
    }


@cache
def declared(text: str) -> list[Span]:
    """Where annotations, decorators of classes and `TYPE_CHECKING` stand."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.ClassDef):
            found += node.decorator_list
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found.append(node.test)
    spans = [(one.lineno, one.col_offset, one.end_lineno, one.end_col_offset) for one in found if one is not None]
    return [((line, column), (last or line, end or column)) for line, column, last, end in spans]


@cache
def signatures(text: str) -> list[Span]:
    """Where functions are declared, up to their first statement."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [((node.lineno, 0), (node.body[0].lineno, 0)) for node in nodes if node.body[0].lineno > node.lineno]


def is_behaviour(mutation: MutationSpec, text: str) -> bool:
    """Whether it changes what the program does."""
    name = mutation.operator_name
    if name.endswith(("ComparisonOperator_Is_Eq", "ComparisonOperator_IsNot_NotEq")):
        return False
    spans = declared(text) + (signatures(text) if "ReplaceBinaryOperator" in name else [])
    return not any(start <= mutation.start_pos < end for start, end in spans)


def mutants(tree: Path, target: Target) -> list[WorkItem]:
    """Every mutant of a target's modules, in an order that stays."""
    found: list[WorkItem] = []
    for module in sorted({path for pattern in target.modules for path in tree.glob(pattern)}):
        text = module.read_text(encoding="utf-8")
        found += [item for item in all_work_items([module], {}) if is_behaviour(item.mutations[0], text)]
    return found


def change(tree: Path, mutation: MutationSpec, diff: str) -> Change:
    """The mutant's own lines, of Cosmic Ray's account of it."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return Change(str(mutation.module_path.relative_to(tree)), before, after)


def stale(explained: dict[Change, str]) -> list[Change]:
    """The explained mutants whose line is no longer there: their explanations can go."""
    texts = {made.module: (ROOT / made.module).read_text(encoding="utf-8").splitlines() for made in explained}
    return [made for made in explained if made.before not in (line.strip() for line in texts[made.module])]


def copy_tree(tree: Path) -> None:
    """What git knows or would know, as it is in the work tree."""
    shutil.rmtree(tree, ignore_errors=True)
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


class Tests:
    """A target's tests, and which of them run which line."""

    def __init__(self, tree: Path, target: Target) -> None:
        self._tree = tree
        self._chosen = tree.with_suffix(".tests")
        self._all = target.tests
        self._python = ROOT / ".venv" / "bin" / "python"
        self._files: Mapping[str, Mapping[str, Sequence[str]]] = {}
        self._failing: frozenset[str] = frozenset()
        self.seconds = 0.0
        """Longer than the tests of a mutant take if one hangs until pytest ends it. It counts as killed after that."""

    def learn(self) -> str:
        """Run all of them unchanged. Those that fail now are not asked later. Gives what went wrong."""
        data = self._tree.with_suffix(".coverage")
        data.unlink(missing_ok=True)
        began = time.monotonic()
        options = f"-n 2 --maxfail={MOST_FAILING + 1} --cov=proxy --cov-context=test --cov-report="
        whole = f"COVERAGE_FILE={data} {self._command(options)}".format(" ".join(self._all))
        ran = subprocess.run(["/bin/sh", "-c", whole], capture_output=True, text=True, check=False)
        self._failing = frozenset(FAILED.findall(ran.stdout))
        if ran.returncode and not 0 < len(self._failing) <= MOST_FAILING:
            return ran.stdout[-3000:] + ran.stderr[-1000:]
        self.seconds = 400 + 3 * (time.monotonic() - began)
        found = self._tree.with_suffix(".json")
        report = [self._python, "-m", "coverage", "json", f"--data-file={data}", "--show-contexts", "-q", "-o", found]
        subprocess.run(report, cwd=self._tree, check=True)
        document = json.loads(found.read_text(encoding="utf-8"))
        self._files = {name: file["contexts"] for name, file in document["files"].items()}
        return "".join(f"{name}: fails without a mutant, too, and was not asked\n" for name in sorted(self._failing))

    @property
    def learned(self) -> bool:
        """Whether it is known which tests run which line."""
        return bool(self._files)

    def command(self, mutation: MutationSpec) -> str | None:
        """What runs the tests of a mutant's line; None if no test runs it."""
        name = str(mutation.module_path.relative_to(self._tree))
        lines = statement_lines(mutation.module_path.read_text(encoding="utf-8"), mutation.start_pos[0])
        run = self._files.get(name, {})
        contexts = {context.rpartition("|")[0] for line in lines for context in run.get(str(line), ())}
        if "" in contexts:  # it runs when the module is imported
            left_out = [f"--deselect={shlex.quote(test)}" for test in sorted(self._failing)]
            return self._command(" ".join(["-x", *left_out])).format(" ".join(self._all))
        contexts -= self._failing
        if not contexts:
            return None
        own = own_tests(name)
        nearest_first = sorted(
            contexts, key=lambda test: (not test.startswith(own), not test.startswith(own.rpartition("/")[0]), test)
        )
        self._chosen.write_text("\n".join(nearest_first), encoding="utf-8")
        return self._command("-x").format(f"@{self._chosen}")

    def _command(self, options: str = "") -> str:
        marks = "not integration and not fuzz and not soak and not long"
        run = f"{self._python} -m pytest -q --no-header {options} {{}} -m '{marks}'"
        return f"env -C {self._tree} PYTHONPATH={self._tree} {run}"


def own_tests(module: str) -> str:
    """The file of a module's tests, as a rule: they mirror the folders. They notice most of its mutants."""
    path = Path(module)
    return str(Path("tests", *path.parts[1:-1], f"test_{path.name}"))


def statement_lines(text: str, line: int) -> range:
    """The lines of the innermost statement around a line, without those of the statements in it. Python counts some of
    them as run, and not always the first."""
    around = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    if not around:
        return range(line, line + 1)
    innermost = max(around, key=lambda node: node.lineno)
    inner = [node.lineno for node in ast.walk(innermost) if isinstance(node, ast.stmt) and node is not innermost]
    return range(innermost.lineno, max(innermost.lineno + 1, min(inner, default=(innermost.end_lineno or line) + 1)))


def try_out(tree: Path, target: Target, chosen: list[WorkItem], explained: dict[Change, str]) -> Counter[str]:
    """Run the tests of each of these mutants' lines, and print those that live."""
    tests = Tests(tree, target)
    said = tests.learn()
    if not tests.learned:
        print(f"{said}\n{target.name}: the tests fail without a mutant; nothing was tried", flush=True)
        return Counter(alive=len(chosen))
    print(said, end="", flush=True)
    counts: Counter[str] = Counter()
    for item in chosen:
        command = tests.command(item.mutations[0])
        result = mutate_and_test(item.mutations, command or "true", tests.seconds)
        made = change(tree, item.mutations[0], result.diff or "")
        if result.test_outcome is not TestOutcome.SURVIVED:
            counts["killed" if result.test_outcome is TestOutcome.KILLED else "broken"] += 1
        elif made in explained:
            counts["explained"] += 1
        else:
            counts["alive"] += 1
            line, untested = item.mutations[0].start_pos[0], "" if command else ", no test runs this line"
            print(f"{made.module}:{line}: lives{untested}\n  - {made.before}\n  + {made.after}", flush=True)
    return counts


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Change the program, and see that a test fails each time.")
    document = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))
    targets = read_targets(document)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(target.name for target in targets)}; all of them")
    parser.add_argument("--sample", type=int, help="so many mutants of each target, instead of its own number")
    parser.add_argument("--all", action="store_true", help="every mutant: hours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tree", default="tree", help="the copy's name: one for each of several runs at once")
    asked = parser.parse_args()
    tree = FOLDER / asked.tree
    explained = read_explained(document)
    for made in stale(explained):
        print(f"{made.module}: explained, but no longer there\n  - {made.before}", flush=True)
    copy_tree(tree)
    total: Counter[str] = Counter()
    for target in targets:
        if asked.target and target.name not in asked.target:
            continue
        every = mutants(tree, target)
        number = len(every) if asked.all else min(asked.sample or target.sample, len(every))
        chosen = random.Random(asked.seed).sample(every, number)  # noqa: S311 - nobody is to be surprised by it
        counts = try_out(tree, target, chosen, explained)
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        print(f"{target.name}: {number} of {len(every)} mutants: {said}", flush=True)
        total += counts
    return 1 if total["alive"] else 0


if __name__ == "__main__":
    sys.exit(main())
