"""Is the project's text plain English? ``python -m tests.words`` prints the texts that are not, the worst first.

Two things are checked in docstrings, comments, messages and Markdown pages:

- The share of ``COUNTED`` words. These words point at a thing instead of naming it; a sentence that is full of them
  has to be read twice. Less than ``LIMIT`` of a text's words may be of this kind, and less than ``MESSAGE_LIMIT`` of a
  module's messages: a hint such as "it does not exist: create it" is clear and short.
- ``PHRASES``, each with the wording to use instead.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("fuseboard", "functions", "eventsources")
PAGES: Final = ("*.md", ".github/**/*.md", "knative/**/*.md", "tests/**/*.md")

COUNTED: Final = frozenset(
    "what who whoever whatever nobody somebody nothing anybody one it that those such so other".split()  # noqa: SIM905
)
LIMIT: Final = 0.05
MESSAGE_LIMIT: Final = 0.15
SHORT: Final = 40
"""A text with fewer words may have ``COUNTED_IN_SHORT`` of them, whatever their share."""

COUNTED_IN_SHORT: Final = 1
MESSAGE_WORDS: Final = 3
"""A string with fewer words is a name or a key, not a message."""

PHRASES: Final = {
    "cannot be had": "is in use, or is not available",
    "who has it": "the process that uses the port, the holder of the lock …",
    "ever later": "with back-off",
    "ever more seldom": "with back-off",
    "is told": "is reported, is logged, gets the value …",
    "are told": "are notified, are reported …",
    "hardly meant": "probably a mistake",
    "looks for itself": "polls, or watches the API server",
    "put down to": "attributed to",
    "see to it": "make sure",
    "for good": "permanently",
}

DOCSTRINGS: Final = "docstrings"
COMMENTED: Final = "docstrings and comments"
MESSAGES: Final = "messages"
COMMENTS: Final = "comments"
PAGE: Final = "page"

_WORD: Final = re.compile(r"[a-z]+")
_CODE: Final = re.compile(r"``.+?``|`[^`\n]+`", re.DOTALL)
_FENCE: Final = re.compile(r"^( *)(```|~~~).*?^ *\2 *$", re.DOTALL | re.MULTILINE)
_LINK_TARGET: Final = re.compile(r"\]\([^)]*\)|<!--.*?-->|https?://\S+", re.DOTALL)
_PARAGRAPH: Final = re.compile(r"(?:.*\S.*(?:\n|$))+")
_DIRECTIVE: Final = re.compile(r"#+!? *(?:(?:noqa|type: ignore|fmt:|pragma:)(?:\[[^]]*\]|[^-])*-?)?")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose and the line it begins at."""

    line: int
    text: str

    def words(self) -> list[str]:
        """Return the words in lower case, without code."""
        return _WORD.findall(_CODE.sub(" ", self.text).lower())


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of text of one file: how many words it has, and which of them count."""

    path: str
    kind: str
    words: int
    counted: Counter[str]

    @property
    def share(self) -> float:
        """The share of counted words."""
        return self.counted.total() / max(self.words, 1)

    @property
    def is_over(self) -> bool:
        """Whether the text is over the limit."""
        if self.words < SHORT and self.kind != MESSAGES:
            return self.counted.total() > COUNTED_IN_SHORT
        return self.share >= self.limit and self.counted.total() > COUNTED_IN_SHORT

    @property
    def limit(self) -> float:
        """The share that the text must stay below."""
        return MESSAGE_LIMIT if self.kind == MESSAGES else LIMIT

    def __str__(self) -> str:
        is_short = self.words < SHORT and self.kind != MESSAGES
        limit = f"{COUNTED_IN_SHORT} word" if is_short else f"{self.limit:.0%}"
        counted = ", ".join(f"{word} {times}" for word, times in self.counted.most_common())
        return f"{self.path}  {self.kind}: {self.share:.1%} of {self.words} words (limit {limit})  {counted}"


def count(path: str, kind: str, passages: Iterable[Passage]) -> Row:
    """Count the words of a text."""
    words = [word for passage in passages for word in passage.words()]
    return Row(path, kind, len(words), Counter(word for word in words if word in COUNTED))


class _Strings(ast.NodeVisitor):
    """Sorts the strings of a module into documentation and messages."""

    def __init__(self) -> None:
        self.docs: list[Passage] = []
        self.messages: list[Passage] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        """Take a string that stands alone: it documents the module, class or function, or the line above."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            self.docs.append(Passage(node.lineno, node.value.value))
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Take any other string, if it is long enough."""
        if isinstance(node.value, str):
            self._message(node.lineno, node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Take an f-string as one text, and the strings inside its braces as texts of their own."""
        parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
        self._message(node.lineno, "".join(parts))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def _message(self, line: int, text: str) -> None:
        passage = Passage(line, text)
        if len(passage.words()) >= MESSAGE_WORDS:
            self.messages.append(passage)


def read_python(source: str) -> dict[str, list[Passage]]:
    """Return the texts of a module, by kind."""
    strings = _Strings()
    strings.visit(ast.parse(source))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [
        Passage(token.start[0], _DIRECTIVE.sub("", token.string, count=1))
        for token in tokens
        if token.type == tokenize.COMMENT
    ]
    both = strings.docs + comments if comments else []
    return {DOCSTRINGS: strings.docs, COMMENTED: both, MESSAGES: strings.messages}


def read_lua(source: str) -> dict[str, list[Passage]]:
    """Return the comments of a script."""
    lines = enumerate(source.splitlines(), start=1)
    return {COMMENTS: [Passage(number, line.partition("--")[2]) for number, line in lines if "--" in line]}


def read_page(source: str) -> dict[str, list[Passage]]:
    """Return the paragraphs of a Markdown page, without code and without the targets of links."""

    def blank(found: re.Match[str]) -> str:
        return " " + "\n" * found[0].count("\n")

    prose = _LINK_TARGET.sub(blank, _CODE.sub(blank, _FENCE.sub(blank, source)))
    return {PAGE: [Passage(prose.count("\n", 0, each.start()) + 1, each[0]) for each in _PARAGRAPH.finditer(prose)]}


def texts(root: Path) -> Iterator[tuple[str, dict[str, list[Passage]]]]:
    """Yield each file that is checked, with its texts."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            read = {".py": read_python, ".lua": read_lua}.get(path.suffix)
            if read is not None:
                yield str(path.relative_to(root)), read(path.read_text(encoding="utf-8"))
    for path in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        yield str(path.relative_to(root)), read_page(path.read_text(encoding="utf-8"))


def refused(path: str, kinds: dict[str, list[Passage]]) -> Iterator[str]:
    """Yield a line for each phrase that is refused."""
    for passage in sorted({each for found in kinds.values() for each in found}, key=lambda each: each.line):
        words = " ".join(passage.words())
        for phrase, instead in PHRASES.items():
            if f" {phrase} " in f" {words} ":
                yield f'{path}:{passage.line}  "{phrase}": write "{instead}"'


def report(root: Path) -> tuple[list[Row], list[str]]:
    """Return all rows, the worst first, and the refused phrases."""
    rows: list[Row] = []
    phrases: list[str] = []
    for path, kinds in texts(root):
        rows += [count(path, kind, passages) for kind, passages in kinds.items() if passages]
        phrases += refused(path, kinds)
    return sorted(rows, key=lambda row: (not row.is_over, -row.share, row.path)), phrases


def totals(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield a row for each kind of text, over all files."""
    for kind in dict.fromkeys(row.kind for row in rows):
        same = [row for row in rows if row.kind == kind]
        counted: Counter[str] = sum((row.counted for row in same), Counter())
        yield Row(f"total of {len(same)} files", kind, sum(row.words for row in same), counted)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Print what is over the limit; return 1 if anything is, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.words", description="Check the project's text.")
    parser.add_argument("--all", action="store_true", help="print every text, and totals")
    show_all = parser.parse_args(arguments).all
    rows, phrases = report(root)
    over = [row for row in rows if row.is_over]
    for row in rows if show_all else over:
        print(row)
    for row in totals(rows) if show_all else ():
        print(row)
    for line in phrases:
        print(line)
    print(f"{len(over)} of {len(rows)} texts are over the limit, {len(phrases)} phrases are refused")
    return 1 if over or phrases else 0


if __name__ == "__main__":
    sys.exit(main())
