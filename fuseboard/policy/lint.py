"""The offline check of policy files: errors that a cluster would refuse, and warnings about likely mistakes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from fuseboard.errors import InvalidPolicy
from fuseboard.policy import advice, validation
from fuseboard.policy import files as policyfile

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from fuseboard.policy.files import Document
    from fuseboard.policy.spec import Policy


class Severity(StrEnum):
    """How serious a finding is."""

    ERROR = "error"
    """The breaker or the table would be refused."""
    WARNING = "warning"


class Finding(Struct, frozen=True):
    """An error or a warning about a document of a file."""

    file: str
    breaker: str
    """``namespace/name``, or the number of the document if the name is unknown."""
    severity: Severity
    code: str
    text: str

    def __str__(self) -> str:
        """Return the finding as a line of text."""
        return f"{self.file}: {self.breaker}: {self.severity}: {self.text} [{self.code}]"


class LintReport(Struct, frozen=True):
    """The result of a check."""

    findings: tuple[Finding, ...]
    checked: int
    """Number of breakers checked."""
    skipped: int
    """Number of documents of another kind."""

    def count(self, severity: Severity) -> int:
        """Return how many findings have this severity."""
        return sum(1 for each in self.findings if each.severity is severity)


class _PlacedDocument(NamedTuple):
    """A document and its place in the files."""

    file: str
    document: Document
    number: int

    @property
    def key(self) -> str:
        content = self.document.content
        metadata = content.get("metadata") if isinstance(content, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict) or not isinstance(name, str):
            return f"document {self.number}"
        key = f"{metadata.get('namespace', 'default')}/{name}"
        return key if key.isprintable() else f"document {self.number}"

    def error(self, code: str, text: str) -> Finding:
        return Finding(self.file, self.key, Severity.ERROR, code, text)

    def warning(self, given: advice.Advice) -> Finding:
        return Finding(self.file, self.key, Severity.WARNING, given.code, given.text)


class _PlacedPolicy(NamedTuple):
    """A document whose fields have the right types, though the policy may be invalid."""

    placed: _PlacedDocument
    policy: Policy


def check(texts: Mapping[str, str]) -> LintReport:
    """Check the breakers in the texts of some files, given by file name."""
    skipped, documents, findings, rows = 0, list[_PlacedDocument](), list[Finding](), list[_PlacedPolicy]()
    for file, text in texts.items():
        for number, document in enumerate(policyfile.documents(text), 1):
            if document is None:
                skipped += 1
            else:
                documents.append(_PlacedDocument(file, document, number))
    for placed in documents:
        policy = _read(placed, findings)
        if policy is not None:
            rows.append(_PlacedPolicy(placed, policy))
            findings += _of_policy(placed, policy)
    findings += _of_table(rows)
    findings += _of_dependencies(rows, {placed.key for placed in documents})
    order = {file: at for at, file in enumerate(texts)}
    found_in_order = sorted(findings, key=lambda each: order[each.file])
    return LintReport(tuple(found_in_order), checked=len(documents), skipped=skipped)


def _read(placed: _PlacedDocument, findings: list[Finding]) -> Policy | None:
    """Return the policy of a document, or add a finding and return None."""
    if placed.document.problem is not None:
        findings.append(placed.error("unreadable", str(placed.document.problem)))
        return None
    try:
        return validation.decode_document(placed.document.content)
    except InvalidPolicy as error:
        findings.append(placed.error("invalid", str(error)))
        return None


def _of_policy(placed: _PlacedDocument, policy: Policy) -> Iterator[Finding]:
    problems = list(validation.problems(policy))
    yield from (placed.error("invalid", problem) for problem in problems)
    if not problems:
        yield from map(placed.warning, advice.advise(policy))


def _of_table(rows: Sequence[_PlacedPolicy]) -> Iterator[Finding]:
    policies = [row.policy for row in rows]
    placed = {row.policy.key: row.placed for row in reversed(rows)}
    where = {id(row.policy): row.placed for row in rows}
    for policy, owner, problem in validation.conflicts(policies):
        mine, other = where[id(policy)], where[id(owner)]
        yield mine.error("taken", problem if mine.file == other.file else f"{problem} (also in {other.file})")
    for cycle in validation.cycles(policies):
        if len(cycle) > 1:  # a breaker that depends on itself has an error already
            yield placed[cycle[0]].error("cycle", validation.cycle_message(cycle))


def _of_dependencies(rows: Sequence[_PlacedPolicy], there: Container[str]) -> Iterator[Finding]:
    for row in rows:
        for name in row.policy.spec.depends_on:
            if f"{row.policy.namespace}/{name}" not in there:
                text = f"spec.dependsOn names {name}, but these files have no such breaker: add it, or correct the name"
                yield row.placed.warning(advice.Advice("unknown-dependency", text))
