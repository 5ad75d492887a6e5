"""Measure how README.md and docs/ read: words, sentence length, long sentences and phrases of the private dialect.

`python -m scripts.measure_pages [PAGE...]` prints a row per page and one for all; `--dialect` lists each phrase found.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
"""What a reader of the project may read."""
LONG = 30
"""A sentence with more words is long."""
DIALECT = {
    r"who(so)?ever|whoso": "name the reader or the role",
    r"(may|asked to|who) knocks?|knock(s|ed|ing)?": "admission",
    r"(not )?spoken": "(not) implemented",
    r"(key|token|consent|login|certificate|placeholder|invitation)s? (that )?(has |have )?(end(s|ed)?)": "expire",
    r"ends? \d+ days|days? before (it|they) ends?": "expire",
    r"hand(s|ed|ing)? (it |them )?(on|out)": "pass through; issue",
    r"amid(st)?": "during",
    r"in (its|their|his) (place|stead)|in place of": "instead",
    r"beside": "next to (or cut it)",
    r"names? no|named nowhere|nobody names|names none": "unknown",
    r"say(s|ing)? so|said so": "report",
    r"tell(s|ing)? of|told of": "log, report",
    r"at hand|in hand": "cached",
    r"in vain": "failed, without success",
    r"what amazon limits|where amazon limits": "rate limits",
    r"anew": "again",
    r"stand(s|ing)? still|stood still": "hang",
    r"let(s|ting)? go": "release",
    r"obtain(s|ed|ing)?|(is|are|was|were) granted": "get, receive",
    r"a (wish|means|manner)|how-manieth|by why": "a request; a resource; reason; attempt number",
    r"where nobody|there is no such|it is none of|who(m|se)? it (is|concerns)": "unknown; name the thing",
    r"(?<!dev )(?<!mcp )(a|the|each|every|your|another|one|which|other) tool(?!s|box| call)": "client",
    r"takes? (its|their) (time|turn)|of (its|their) own accord": "say what happens",
    r"as it was sent|as it is sent|as they were sent": "unchanged",
    r"stands? (in|on|at|above|below|there)|stood (in|on|at)": "is in; is listed in",
    r"begins? here": "start here",
    r"all the same": "anyway (or cut it)",
    r"dear(er|est)?": "expensive; costs more",
    r"mend(s|ed|ing)?": "fix",
    r"by night|at night": "on call",
    r"has a say|have a say": "decide",
    r"what is (not )?(said|told|asked|spoken|limited|remembered|held)": "use a noun",
    r"nobody|somebody|everybody": "name the role",
}
"""Phrases that the style guide replaces, and what to write."""
_DIALECT = [(re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE), instead) for phrase, instead in DIALECT.items()]
_GENERATED = re.compile(r"<!-- made by `make reference`.*?<!-- end -->", re.DOTALL)
"""A block of a page that `make reference` writes."""
_CODE_SPAN = re.compile(r"(`+)[^`]*?\1")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_WORD = re.compile(r"\S*\w\S*")
_SENTENCE_END = re.compile(r"(?<=[.!?])[*_\")]*\s+")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|No|Nos)\.\s", re.IGNORECASE)
_LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s+")
_RULE = re.compile(r"[\s|:-]+")


@dataclass(frozen=True)
class Measures:
    """What one page, or all pages together, measure."""

    words: int
    """All words, those of code as well; a table's bar or a dash is none."""
    split: int
    """Words as `wc -w` counts them: bars and dashes too."""
    sentences: tuple[int, ...]
    """The words of each sentence in paragraphs and lists."""
    in_cells: tuple[int, ...]
    """The words of each sentence in table cells, whose many labels would make the mean look shorter."""
    phrases: tuple[tuple[str, str], ...]
    """Each phrase of the dialect, and what to write."""

    @property
    def mean(self) -> float:
        """Words a sentence."""
        return sum(self.sentences) / max(1, len(self.sentences))

    @property
    def long_share(self) -> float:
        """The share of long sentences, in per cent."""
        return 100 * sum(words > LONG for words in self.sentences) / max(1, len(self.sentences))

    @property
    def long_cells(self) -> int:
        """How many sentences in table cells are long."""
        return sum(words > LONG for words in self.in_cells)

    @property
    def dialect_rate(self) -> float:
        """Dialect phrases per 1,000 words."""
        return 1000 * len(self.phrases) / max(1, self.words)


def _words(text: str) -> int:
    """The words of a text; a mark alone, such as a dash or a table's bar, is none."""
    return len(_WORD.findall(text))


def _without_code_blocks(text: str) -> Iterator[str]:
    """The lines outside of fenced and indented code and of comments, a comment's or block's place left empty."""
    fence, after_blank, indented = "", True, False
    for line in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines():
        mark = re.match(r"\s*(```+|~~~+)", line)
        if fence or mark:
            fence = "" if fence and line.strip().startswith(fence) else fence or (mark[1] if mark else "")
            yield ""
            continue
        indented = line.startswith("    ") and (after_blank or indented) and not _LIST_ITEM.match(line)
        after_blank = not line.strip()
        yield "" if indented else line


def passages(text: str) -> list[tuple[str, bool]]:
    """Each paragraph, list item, table cell and heading, and whether it is prose: a paragraph or a list item."""
    found: list[tuple[str, bool]] = []
    paragraph: list[str] = []

    def close() -> None:
        if paragraph:
            found.append((" ".join(paragraph), True))
            paragraph.clear()

    for line in _without_code_blocks(text):
        stripped = line.strip()
        if stripped.startswith("|"):
            close()
            if not _RULE.fullmatch(stripped):
                row = stripped.replace(r"\|", " ").strip("|")
                cells = _CODE_SPAN.sub(lambda span: span[0].replace("|", " "), row).split("|")
                found.extend((cell.strip(), False) for cell in cells)
        elif stripped.startswith("#"):
            close()
            found.append((stripped.lstrip("# "), False))
        elif not stripped or _LIST_ITEM.match(line):
            close()
            if stripped:
                paragraph.append(_LIST_ITEM.sub("", line, count=1))
        else:
            paragraph.append(stripped)
    close()
    return found


def sentences(passage: str) -> list[str]:
    """The sentences of a passage. A code span is one word, a link its text; a full stop inside either ends nothing."""
    plain = _LINK.sub(lambda link: re.sub(r"[.:!?]", "", link[1]), _CODE_SPAN.sub("CODE", passage))
    plain = _ABBREVIATION.sub(lambda match: match[0].replace(".", ""), plain)
    return [sentence for sentence in _SENTENCE_END.split(plain) if sentence and _words(sentence)]


def measure(text: str) -> Measures:
    """Measure what people wrote of a page. All its words count, code too; sentences and phrases are its prose's."""
    text = _GENERATED.sub("", text)
    found = passages(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL))
    counts = [(_words(sentence), is_prose) for passage, is_prose in found for sentence in sentences(passage)]
    prose = "\n".join(_LINK.sub(r"\1", _CODE_SPAN.sub("", passage)) for passage, _ in found)
    phrases = tuple((match[0], instead) for pattern, instead in _DIALECT for match in pattern.finditer(prose))
    in_prose, in_cells = (tuple(count for count, is_prose in counts if is_prose is wanted) for wanted in (True, False))
    return Measures(_words(text), len(text.split()), in_prose, in_cells, phrases)


def together(parts: Iterable[Measures]) -> Measures:
    """Measure pages as if they were one."""
    pages = list(parts)
    return Measures(
        sum(page.words for page in pages),
        sum(page.split for page in pages),
        tuple(count for page in pages for count in page.sentences),
        tuple(count for page in pages for count in page.in_cells),
        tuple(phrase for page in pages for phrase in page.phrases),
    )


def measure_files(paths: Iterable[Path]) -> dict[str, Measures]:
    """Measure each page, by its path in the repository."""
    return {
        str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path): measure(path.read_text(encoding="utf-8"))
        for path in paths
    }


def _row(name: str, page: Measures) -> str:
    lengths = f"{page.mean:>6.1f} {page.long_share:>6.1f} {page.long_cells:>6}"
    return f"{name:<44} {page.words:>7,} {page.split:>7,} {lengths} {page.dialect_rate:>8.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table of the pages given, or of README.md and all of docs/, longest first."""
    parser = argparse.ArgumentParser(description="Measure how README.md and docs/ read.")
    parser.add_argument("pages", nargs="*", type=Path, help="pages to measure (default: README.md and docs/**/*.md)")
    parser.add_argument("--dialect", action="store_true", help="list each phrase of the dialect, and what to write")
    options = parser.parse_args(arguments)
    pages = measure_files(options.pages or PAGES)
    print(
        "mean, > 30 %: sentences in paragraphs and lists; cells: long ones in tables; dialect: phrases per 1,000 words"
    )
    print(f"{'page':<44} {'words':>7} {'wc -w':>7} {'mean':>6} {'> 30 %':>6} {'cells':>6} {'dialect':>8}")
    for name, page in sorted(pages.items(), key=lambda item: -item[1].words):
        print(_row(name, page))
        if options.dialect:
            for phrase, instead in page.phrases:
                print(f"    {phrase!r}: {instead}")
    print(_row("all", together(pages.values())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
