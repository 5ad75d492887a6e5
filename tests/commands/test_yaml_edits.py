"""What is added to a YAML text, or taken out of it: where, in which style, and that every other line stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.commands.yaml_edits import (
    Flow,
    Moment,
    NoPlace,
    Path,
    add_entry,
    add_item,
    append_lines,
    change_list,
    changed_list,
    flow,
    remove_entry,
    remove_item,
    replace_entry,
    set_value,
    without_entry,
)
from proxy.config.reading.document import parse_document

ITEM = {"name": "new", "keys": [Flow({"sha256": "x"})], "accounts": ["a"]}
BLOCK = "  - name: new\n    keys:\n      - {sha256: x}\n    accounts: [a]\n"
FLOW = "{name: new, keys: [{sha256: x}], accounts: [a]}"


def read(text: str) -> dict[str, Any]:
    """The values of a text, as the configuration is read."""
    document = parse_document(text.encode(), "text")
    assert document.problems == ()
    return document.values


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("clients:\n  - name: a\n", f"clients:\n  - name: a\n{BLOCK}"),
        ("clients:\n  - name: a", f"clients:\n  - name: a\n{BLOCK}"),
        ("clients:\n  - {name: a}  # A\n\nlog: {}\n", f"clients:\n  - {{name: a}}  # A\n{BLOCK}\nlog: {{}}\n"),
        (
            "clients:\n  - name: a\n    # of a\n  # of all\n# log\nlog: {}\n",
            f"clients:\n  - name: a\n    # of a\n{BLOCK}  # of all\n# log\nlog: {{}}\n",
        ),
        ("clients:\n- name: a\nlog: {}\n", "clients:\n- name: a\n" + BLOCK.replace("\n  ", "\n")[2:] + "log: {}\n"),
        ("clients:\n  -\n    name: a\n", f"clients:\n  -\n    name: a\n{BLOCK}"),
        ("clients: [{name: a}]  # A\n", f"clients: [{{name: a}}, {FLOW}]  # A\n"),
        ("clients: [\n  {name: a},  # A\n]\n", f"clients: [\n  {{name: a}}, {FLOW},  # A\n]\n"),
        ("clients: []  # none\nlog: {}\n", f"clients:  # none\n{BLOCK}log: {{}}\n"),
        ("clients:  # none\nlog: {}\n", f"clients:  # none\n{BLOCK}log: {{}}\n"),
        ("clients: null\n", f"clients:\n{BLOCK}"),
        ("{log: {}}\n", f"{{log: {{}}, clients: [{FLOW}]}}\n"),
        ("{clients: null}\n", f"{{clients: [{FLOW}]}}\n"),
        ("{clients: []}\n", f"{{clients: [{FLOW}]}}\n"),
        ("log: {}\n# end\n", f"log: {{}}\n# end\n\nclients:\n{BLOCK}"),
        ("", f"clients:\n{BLOCK}"),
        ("# nothing yet\n", f"# nothing yet\nclients:\n{BLOCK}"),
        (
            "accounts:\n  a:\n    x: 1\n    # days: 2\n\n# log\nlog: {}\n",
            f"accounts:\n  a:\n    x: 1\n    # days: 2\n\nclients:\n{BLOCK}\n# log\nlog: {{}}\n",
        ),
    ],
)
def test_an_item_is_added_in_the_style_of_the_list(text: str, after: str) -> None:
    """Behind the last one and the comments that belong to it; a missing list is made."""
    assert add_item(text, ("clients",), ITEM) == after
    before = read(text)
    assert read(after) == {**before, "clients": [*(before.get("clients") or []), ITEM]}


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("reports:\n  named:\n    b: {x: 1}\n", "reports:\n  named:\n    b: {x: 1}\n    a:\n      days: 2\n"),
        ("reports:\n  pace: true\n", "reports:\n  pace: true\n  named:\n    a:\n      days: 2\n"),
        ("reports:\n  named: {}\n  pace: true\n", "reports:\n  named:\n    a:\n      days: 2\n  pace: true\n"),
        ("reports: {pace: true}\n", "reports: {pace: true, named: {a: {days: 2}}}\n"),
        ("reports: {named: {b: {x: 1}}}\n", "reports: {named: {b: {x: 1}, a: {days: 2}}}\n"),
        ("reports: {}\n", "reports:\n  named:\n    a:\n      days: 2\n"),
        ("log: {}\n", "log: {}\n\nreports:\n  named:\n    a:\n      days: 2\n"),
    ],
)
def test_an_entry_is_added_however_deep(text: str, after: str) -> None:
    """With the sections around it that are missing."""
    assert add_entry(text, ("reports", "named"), "a", {"days": 2}) == after
    read(after)


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("c:\n  - n: a\n  - n: b\n  - n: d\n", ("c", 1), "c:\n  - n: a\n  - n: d\n"),
        (
            "c:\n  # a\n  - n: a\n    # in a\n\n  # b\n  # too\n  - n: b\n    x: |\n      t\n    # of b\n# end\n",
            ("c", 1),
            "c:\n  # a\n  - n: a\n    # in a\n\n# end\n",
        ),
        ("c:\n- n: a\n- n: b\nl: 1\n", ("c", 1), "c:\n- n: a\nl: 1\n"),
        ("c:\n  -\n    n: a\n  -\n    n: b\n", ("c", 0), "c:\n  -\n    n: b\n"),
        ("c: [{n: a}, {n: b}, {n: d}]\n", ("c", 0), "c: [{n: b}, {n: d}]\n"),
        ("c: [{n: a}, {n: b}, {n: d}]\n", ("c", 1), "c: [{n: a}, {n: d}]\n"),
        ("c: [{n: a}, {n: b}]  # C\n", ("c", 1), "c: [{n: a}]  # C\n"),
        ("c: [{n: a}]  # C\n", ("c", 0), "c: []  # C\n"),
    ],
)
def test_an_item_is_removed_with_what_is_about_it(text: str, path: Path, after: str) -> None:
    """The comments directly above it and within it; those of others stay."""
    assert remove_item(text, path) == after
    (key, number) = path
    values = read(text)
    del values[str(key)][int(number)]
    assert read(after) == values


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("c:\n  - n: a\n    k: 'x'  # X\n    m: 1\n", "c:\n  - n: a\n    ks:\n      - {s: x}  # X\n    m: 1\n"),
        ("c:\n  - k: x\n    n: a\n", "c:\n  - ks:\n      - {s: x}\n    n: a\n"),
        ("c: [{k: x, n: a}]\n", "c: [{ks: [{s: x}], n: a}]\n"),
    ],
)
def test_a_single_value_becomes_a_list(text: str, after: str) -> None:
    """Under another key, with its comment."""
    assert replace_entry(text, ("c", 0, "k"), "ks", [{"s": "x"}]) == after


def test_line_ends_stay() -> None:
    """New lines end as the others do."""
    assert add_item("c:\r\n  - m: a\r\n", ("c",), {"m": "b"}) == "c:\r\n  - m: a\r\n  - m: b\r\n"
    assert replace_entry("c:\r\n  - k: x\r\n", ("c", 0, "k"), "ks", [{"s": "x"}]).count("\n") == 3


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("accounts:\n  a:\n    x: 1\n", "accounts:\n  a:\n    x: 1\n  NEW\n"),
        ("accounts:\n    a:\n      x: 1", "accounts:\n    a:\n      x: 1\n    NEW\n"),
        (
            "accounts:\n  a: {x: 1,\n    y: 2}\n# end\n\nlog:\n",
            "accounts:\n  a: {x: 1,\n    y: 2}\n  NEW\n# end\n\nlog:\n",
        ),
        (
            "accounts:\n  a:\n    x:\n    # no value\n  # of all\nlog: {}\n",
            "accounts:\n  a:\n    x:\n    # no value\n  NEW\n  # of all\nlog: {}\n",
        ),
        ("accounts:\n  a:\n    x: |\n      t\nlog: {}\n", "accounts:\n  a:\n    x: |\n      t\n  NEW\nlog: {}\n"),
        (
            "accounts:\n  a:\n    x:\n    - 1\n    - 2\nlog: {}\n",
            "accounts:\n  a:\n    x:\n    - 1\n    - 2\n  NEW\nlog: {}\n",
        ),
        ("accounts:\n  a:\n    x: 'p\n      q'\nlog: {}\n", "accounts:\n  a:\n    x: 'p\n      q'\n  NEW\nlog: {}\n"),
    ],
)
def test_lines_are_appended_behind_the_last_entry(text: str, after: str) -> None:
    """Whatever its value looks like; comments that are indented as the entries belong to what follows them."""
    assert append_lines(text, ("accounts",), ["NEW"]) == after


@pytest.mark.parametrize("text", ["", "log: {}\n", "accounts:\n", "accounts: {a: {x: 1}}\n", "- a\n"])
def test_lines_need_a_block(text: str) -> None:
    """The file is left to its author."""
    with pytest.raises(NoPlace, match="no `accounts` section in block style"):
        append_lines(text, ("accounts",), ["NEW"])


@pytest.mark.parametrize("text", ["clients: x\n", "clients: {a: 1}\n", "clients: 'null'\n", "- a\n"])
def test_what_is_no_list_gets_no_item(text: str) -> None:
    """Nothing is overwritten."""
    with pytest.raises(NoPlace):
        add_item(text, ("clients",), ITEM)


@pytest.mark.parametrize("path", [("c",), ("c", "n"), ("l", 0)])
def test_what_is_no_item_is_not_removed(path: Path) -> None:
    """A text that is no item is not replaced either."""
    with pytest.raises(NoPlace):
        remove_item("c: {n: 1}\n", path)
    with pytest.raises(NoPlace):
        replace_entry("c: {n: []}\n", ("c", "n"), "ks", [])
    with pytest.raises(NoPlace):
        replace_entry("c: []\n", ("c", "n"), "ks", [])


def test_numbers_and_truths_stay_what_they_are() -> None:
    """Texts that look like them are quoted; a moment is not."""
    value = {"a": 1, "b": True, "c": None, "d": "1", "e": "true", "f": Moment("2027-01-31")}
    assert flow(value) == '{a: 1, b: true, c: null, d: "1", e: "true", f: 2027-01-31}'


VALUES = st.text(st.characters(codec="utf-8")) | st.integers(-9, 9) | st.booleans()


@given(st.recursive(VALUES, lambda each: st.lists(each, max_size=3), max_leaves=9))
def test_a_value_is_read_as_it_was_meant(value: Any) -> None:
    """By the reader of the configuration and by others: no text becomes a number, a day or a truth."""
    text = f"v: {flow(value)}\n"
    assert yaml.safe_load(text) == {"v": value}
    assert read(text) == {"v": value}


WORDS = st.text("abcxyz", min_size=1, max_size=4)
ENTRIES = st.dictionaries(
    WORDS, WORDS | st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, WORDS, max_size=2), min_size=1
)


@pytest.mark.long
@given(st.lists(ENTRIES, min_size=2, max_size=4), st.booleans(), st.randoms(use_true_random=False), st.data())
def test_no_other_line_changes(items: list[dict[str, Any]], is_flow: bool, random: Any, data: st.DataObject) -> None:
    """Comments and blank lines between any two lines of a block stay in their order; removing what was added gives
    the text as it was."""
    dumped = yaml.safe_dump(
        {"accounts": {"m": {"r": "na"}}, "c": items, "z": 1}, default_flow_style=None if is_flow else False
    )
    lines = []
    for line in dumped.splitlines():
        lines += data.draw(st.sampled_from([[], [], ["", "# comment"]])) if not line.startswith(" ") else []
        lines.append(line)
    text = "\n".join(lines) + "\n"
    added = add_item(text, ("c",), ITEM)
    assert read(added) == {**read(text), "c": [*items, ITEM]}
    left = iter(added.splitlines())
    assert is_flow or all(line in left for line in text.splitlines())
    assert remove_item(added, ("c", len(items))) == text
    number = random.randrange(len(items))
    assert read(remove_item(text, ("c", number))) == {**read(text), "c": items[:number] + items[number + 1 :]}


CLIENT = "clients:\n  - name: x\n"


@pytest.mark.parametrize(
    ("text", "wanted", "after"),
    [
        ("    a: [p, q]  # A\n", ["q", "r"], "    a: [q, r]  # A\n"),
        ("    a: [p]\n    b: 1\n", ["q"], "    a: [q]\n    b: 1\n"),
        ("    a:\n      - p  # P\n      # about q\n      - q\n", ["p", "r"], "    a:\n      - p  # P\n      - r\n"),
        ("    a:\n    - p\n    b: 1\n", ["p", "7"], '    a:\n    - p\n    - "7"\n    b: 1\n'),
        ("    a: []  # none\n", ["p"], "    a:  # none\n      - p\n"),
        ("    b: 1  # B\n", ["p", "*/x"], '    b: 1  # B\n    a: [p, "*/x"]\n'),
        ("    a: [1, 2]\n", ["2", "3"], '    a: [2, "3"]\n'),
    ],
)
def test_a_list_gets_other_texts(text: str, wanted: list[str], after: str) -> None:
    """Items that stay keep line, order and comment; the values are those that are told beforehand."""
    changed = change_list(CLIENT + text, ("clients", 0, "a"), wanted)
    assert changed == CLIENT + after
    before = read(CLIENT + text)["clients"][0].get("a") or []
    assert read(changed)["clients"][0]["a"] == changed_list(before, wanted)


@pytest.mark.parametrize("text", ["    a: p\n", "    a: [{b: 1}]\n", "    a: {b: 1}\n"])
def test_what_is_no_list_of_texts_has_no_place_for_one(text: str) -> None:
    """It is not replaced by something else."""
    with pytest.raises(NoPlace):
        change_list(CLIENT + text, ("clients", 0, "a"), ["q"])


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("    a: old  # A\n", "    a: new  # A\n"),
        ("    a: 'old'\n    b: 1\n", "    a: new\n    b: 1\n"),
        ("    b: 1  # B\n", "    b: 1  # B\n    a: new\n"),
    ],
)
def test_a_single_value_is_replaced_or_new(text: str, after: str) -> None:
    """The comment behind it stays."""
    assert set_value(CLIENT + text, ("clients", 0), "a", "new") == CLIENT + after


def test_a_value_of_an_item_in_flow_style_is_replaced_or_new() -> None:
    """Within its braces."""
    assert set_value("a: [{b: 1, c: d}]\n", ("a", 0), "c", "e") == "a: [{b: 1, c: e}]\n"
    assert set_value("a: [{b: 1}]  # A\n", ("a", 0), "c", Moment("2027-01-31")) == "a: [{b: 1, c: 2027-01-31}]  # A\n"


@pytest.mark.parametrize("text", ["    a: [p]\n", "    a: |\n      p\n", "    a:\n"])
def test_what_is_no_single_value_is_not_replaced(text: str) -> None:
    """A list, lines of text, nothing."""
    with pytest.raises(NoPlace):
        set_value(CLIENT + text, ("clients", 0), "a", "new")


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("a:\n  # of b\n  b: 1\n    # deeper\n  c: 2\n", ("a", "b"), "a:\n  c: 2\n"),
        ("a:\n  b:\n    x: 1\n  # of c\n  c: 2\n", ("a", "b"), "a:\n  # of c\n  c: 2\n"),
        ("a: {b: 1, c: 2}  # A\n", ("a", "b"), "a: {c: 2}  # A\n"),
        ("a: {b: 1, c: 2}\n", ("a", "c"), "a: {b: 1}\n"),
        ("d: 1\na:\n  b:\n    c: 2\n", ("a", "b", "c"), "d: 1\n"),
        ("d: 1\n# Its own.\na: {b: {c: 2}}\n", ("a", "b", "c"), "d: 1\n"),
    ],
)
def test_a_key_is_removed_with_its_comment(text: str, path: Path, after: str) -> None:
    """And mappings that held nothing else; the values are those that are told beforehand."""
    assert remove_entry(text, path) == after
    assert read(after) == without_entry(read(text), path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: {b: 1, c: 2}\n", ("a", "d")),
        ("a: [1]\n", ("a", "b")),
        ("a:\n  - b: 1\n    c: 2\n", ("a", 0, "b")),
        ("a: 1\n", ("a",)),
    ],
)
def test_a_key_that_cannot_be_removed_has_no_place(text: str, path: Path) -> None:
    """It is missing, in no mapping, next to a dash, or the only one of the file."""
    with pytest.raises(NoPlace):
        remove_entry(text, path)
