"""All that is wrong with the breakers of some files, and what is hardly meant: the offline check."""

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
    """How bad it is."""

    ERROR = "error"
    """The breaker, or the table, would be refused."""
    WARNING = "warning"


class Finding(Struct, frozen=True):
    """One thing that was found in a file."""

    file: str
    breaker: str
    """``namespace/name``, or which document of the file it is, where that is not known."""
    severity: Severity
    code: str
    text: str

    def __str__(self) -> str:
        """Return the line that people read."""
        return f"{self.file}: {self.breaker}: {self.severity}: {self.text} [{self.code}]"


class LintReport(Struct, frozen=True):
    """What a check came to."""

    findings: tuple[Finding, ...]
    checked: int
    """Breakers that were looked at."""
    skipped: int
    """Documents of other kinds."""

    def count(self, severity: Severity) -> int:
        """Return how many findings are as bad as that."""
        return sum(1 for each in self.findings if each.severity is severity)


class _PlacedDocument(NamedTuple):
    """A document and where it is."""

    file: str
    found: Document
    number: int

    @property
    def key(self) -> str:
        content = self.found.content
        metadata = content.get("metadata") if isinstance(content, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict) or not isinstance(name, str):
            return f"document {self.number}"
        key = f"{metadata.get('namespace', 'default')}/{name}"
        return key if key.isprintable() else f"document {self.number}"

    def error(self, code: str, text: str) -> Finding:
        return Finding(self.file, self.key, Severity.ERROR, code, text)

    def warning(self, found: advice.Advice) -> Finding:
        return Finding(self.file, self.key, Severity.WARNING, found.code, found.text)


class _PlacedPolicy(NamedTuple):
    """A document that is a policy, though not always one that is valid."""

    placed: _PlacedDocument
    policy: Policy


def check(texts: Mapping[str, str]) -> LintReport:
    """Return all that is to be said about the breakers of some files."""
    skipped, documents, findings, rows = 0, list[_PlacedDocument](), list[Finding](), list[_PlacedPolicy]()
    for file, text in texts.items():
        for number, found in enumerate(policyfile.documents(text), 1):
            if found is None:
                skipped += 1
            else:
                documents.append(_PlacedDocument(file, found, number))
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
    """Return the policy of a document, or add why it is none."""
    if placed.found.problem:
        findings.append(placed.error("unreadable", placed.found.problem))
        return None
    try:
        return validation.decode_document(placed.found.content)
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
        yield mine.error("taken", problem if mine.file == other.file else f"{problem} (the other is in {other.file})")
    for cycle in validation.cycles(policies):
        if len(cycle) > 1:  # one that depends on itself has been told so
            yield placed[cycle[0]].error("cycle", validation.cycle_message(cycle))


def _of_dependencies(rows: Sequence[_PlacedPolicy], there: Container[str]) -> Iterator[Finding]:
    for row in rows:
        for name in row.policy.spec.depends_on:
            if f"{row.policy.namespace}/{name}" not in there:
                text = f"spec.dependsOn names {name}, which is no breaker of these files: add it, or correct the name"
                yield row.placed.warning(advice.Advice("unknown-dependency", text))
