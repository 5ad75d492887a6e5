"""What counts as a word, a sentence and a phrase of the dialect on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.measure_pages import main, measure, sentences, together

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """# Short

First sentence here. The second one has six words.

    code is no sentence. beside it nothing counts

- An item is read
  over two lines.

```sh
whoever runs this
```
<!-- whoever -->
| label | 12 |
|---|---|
| `whoever` | This cell holds a whole sentence, in vain. |
"""


def test_sentences_are_those_of_the_prose() -> None:
    """Paragraphs and list items, without code and comments; cells and headings count apart."""
    assert measure(PAGE).sentences == (3, 6, 7)
    assert measure(PAGE).in_cells == (1, 1, 1, 1, 8)


def test_phrases_are_found_outside_of_code() -> None:
    """Code spans, code blocks and comments may hold any words."""
    assert [phrase for phrase, _ in measure(PAGE).phrases] == ["in vain"]


def test_all_words_count() -> None:
    """A reader has to look at code as well; bars and dashes are no words."""
    assert measure("| a | - |\n\n    b c\n").words == 3


@pytest.mark.parametrize(
    ("passage", "count"),
    [
        ("Set `a. b`. Then go.", 2),
        ("See [page. one](x.md), e.g. this.", 1),
        ("One thing: another one.", 1),
        ("One thing: Another one.", 1),
    ],
)
def test_a_sentence_ends_where_a_reader_rests(passage: str, count: int) -> None:
    """Full stops in code, links' addresses and abbreviations end nothing."""
    assert len(sentences(passage)) == count


def test_shares_are_over_all_sentences() -> None:
    """Pages are weighed by their sentences, and an empty page divides by nothing."""
    both = together([measure("A b. C d e f."), measure("word " * 31 + ".")])
    assert (both.words, both.sentences, both.mean, round(both.long_share)) == (37, (2, 4, 31), 37 / 3, 33)
    assert measure("").mean == measure("").dialect_rate == 0


def test_the_table_has_a_row_for_each_page_and_one_for_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--dialect` the phrases follow their page."""
    (tmp_path / "a.md").write_text("Failed in vain.", encoding="utf-8")
    assert main(["--dialect", str(tmp_path / "a.md")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:2] for line in lines] == [[">"], ["words"], ["3"], ["vain':"], ["3"]]
