"""The check of plain English: which words count, which do not, and what is over the limit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests import words
from tests.words import Passage, Row

if TYPE_CHECKING:
    from pathlib import Path

MODULE = '''
"""What the module is for."""

# One reason for the table.
import os  # noqa: S606  - nobody else needs it

LIMIT = 3
"""It documents the constant."""


class Panel:
    """Shows those breakers."""

    def show(self, name):
        """Show ``it`` to somebody."""
        raise LookupError(f"{name} is nothing that {self.find('such a name is not')} has", "it", """it is
        a message too""")
'''


def counted(passages: list[Passage]) -> Counter[str]:
    """Return the words that count."""
    return words.count("", "", passages).counted


def test_documentation_is_told_from_messages() -> None:
    """Docstrings, those of attributes too, are one text; comments join them; strings of three words are messages."""
    texts = words.read_python(MODULE)

    assert counted(texts[words.DOCSTRINGS]) == Counter(["what", "it", "those", "somebody"])
    assert counted(texts[words.COMMENTED]) - counted(texts[words.DOCSTRINGS]) == Counter(["one", "nobody", "it"])
    assert counted(texts[words.MESSAGES]) == Counter(["nothing", "that", "such", "it"])


def test_code_on_a_page_does_not_count() -> None:
    """Blocks, inline code and the targets of links are left out; lines keep their numbers."""
    page = "# Such a page\n\n```sh\nwho is it\n```\n\nRead `that` in [the\npage](it/what.md) of those."

    (first, second) = words.read_page(page)[words.PAGE]

    assert counted([first, second]) == Counter(["such", "those"])
    assert (first.line, second.line) == (1, 7)


def test_comments_of_lua_scripts_count() -> None:
    """A script of the store has comments; its code is left out."""
    texts = words.read_lua("-- what is due\nlocal that = it -- so far")

    assert counted(texts[words.COMMENTS]) == Counter(["what", "so"])


@pytest.mark.parametrize(
    ("total", "found", "over"),
    [(10, 1, False), (10, 2, True), (39, 1, False), (39, 2, True), (40, 1, False), (40, 2, True), (1000, 49, False)],
)
def test_the_limit(total: int, found: int, over: bool) -> None:  # noqa: FBT001  - a parameter of the test
    """A text of 40 words or more stays under 5 %; a shorter one may have one such word."""
    assert Row("a.py", words.DOCSTRINGS, total, Counter(it=found)).is_over == over


def test_a_phrase_is_refused_across_a_line_break() -> None:
    """The place and the wording to use are printed."""
    texts = {words.DOCSTRINGS: [Passage(7, "The port cannot\n    be had.")], words.MESSAGES: [Passage(9, "had been")]}

    assert list(words.refused("a.py", texts)) == ['a.py:7  "cannot be had": write "is in use, or is not available"']


def test_the_worst_is_printed_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files over the limit are listed by their share, and the status is 1."""
    for name, text in (("bad", "it is so"), ("good", "The clock of the store."), ("worst", "nobody, nothing")):
        (tmp_path / "fuseboard").mkdir(exist_ok=True)
        (tmp_path / "fuseboard" / f"{name}.py").write_text(f'"""{text}"""', encoding="utf-8")

    assert words.main([], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "fuseboard/worst.py  docstrings: 100.0% of 2 words (limit 1 word)  nobody 1, nothing 1",
        "fuseboard/bad.py  docstrings: 66.7% of 3 words (limit 1 word)  it 1, so 1",
        "2 of 3 texts are over the limit, 0 phrases are refused",
    ]


def test_all_prints_every_text_and_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --all, texts within the limit are listed as well; without findings the status is 0."""
    (tmp_path / "README.md").write_text("# Fuseboard\n\nOne breaker.", encoding="utf-8")

    assert words.main(["--all"], tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "README.md  page: 33.3% of 3 words (limit 1 word)  one 1",
        "total of 1 files  page: 33.3% of 3 words (limit 1 word)  one 1",
        "0 of 1 texts are over the limit, 0 phrases are refused",
    ]
