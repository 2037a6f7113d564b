"""A file of policies: what can be wrong with a file, and with its documents together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fuseboard.errors import InvalidPolicy
from fuseboard.policy.files import documents, load_table

if TYPE_CHECKING:
    from pathlib import Path

ONE = """\
apiVersion: fuseboard.dev/v1alpha1
kind: CircuitBreaker
metadata: {name: NAME, namespace: shop}
spec:
  target: {name: TARGET}
"""


def one(name: str, target: str = "") -> str:
    """Return a document."""
    return ONE.replace("NAME", name).replace("TARGET", target or name)


def file(folder: Path, content: str | bytes) -> Path:
    """Return a file with this content."""
    path = folder / "breakers.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_has_any_number_of_documents(tmp_path: Path) -> None:
    """Documents are read in their order; empty ones between them are passed over."""
    path = file(tmp_path, f"---\n{one('a')}---\n---\n# nothing\n---\n{one('b')}")
    assert [policy.key for policy in load_table(path)] == ["shop/a", "shop/b"]


def test_json_is_yaml(tmp_path: Path) -> None:
    """A document may be written as JSON."""
    text = """{"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker",
               "metadata": {"name": "a"}, "spec": {"target": {"name": "a"}}}"""
    assert [policy.key for policy in load_table(file(tmp_path, text))] == ["default/a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no CircuitBreaker document; see examples/01-one-alert/breakers.yaml for an example"),
        ("---\n---\n# only a comment\n", "has no CircuitBreaker document"),
        ("a: [\n", "is not YAML: "),
        ("a: *nowhere\n", "is not YAML: "),
        ("a: &x [*x]\n", "is not YAML: "),
        ("!!python/object:os.system {}\n", "is not YAML: "),
        ("? [1, 2]\n: 3\n", "is not YAML: "),
        ("[" * 5_000, "is not YAML: "),
        (b"\xff\xfe\x00", "is not YAML: "),
        (b"\x00", "is not YAML: "),
        (
            f"{one('a')}metadata: {{name: b}}\n",
            "the key 'metadata' appears twice in the mapping that begins on line 1",
        ),
        (f"{one('a')}  target: {{name: b}}\n", "the key 'target' appears twice in the mapping that begins on line 5"),
        (
            f"{one('a')}---\n{one('b', 'a')}",
            "shop/b: the target shop/Deployment/a already belongs to the breaker shop/a",
        ),
        (f"{one('a')}---\n{one('a', 'b')}", "shop/a: two documents have this name"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str | bytes, message: str) -> None:
    """A message begins with the file, and says what is wrong with it."""
    path = file(tmp_path, content)
    with pytest.raises(InvalidPolicy, match=f"^{re.escape(f'{path}: {message}')}"):
        load_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{one('a')}---\n- 1\n", ", document 2: the document is [1]: expected a mapping"),
        (f"{one('a')}---\ntext\n", ", document 2: the document is 'text': expected a mapping"),
        (
            f"{one('a')}---\n{one('b')}  mode: Act\n",
            ", document 2 (b): spec.mode is 'Act': expected one of Observe, Enforce",
        ),
        (
            one("a").replace("spec:\n  target: {name: a}", "spec: null"),
            ", document 1 (a): spec is None: expected a mapping",
        ),
        (one("no"), ", document 1: metadata.name is False: expected a DNS-1123 label"),
    ],
)
def test_a_document_that_cannot_be_used_is_named(tmp_path: Path, content: str, message: str) -> None:
    """A message says which document of the file is wrong, by its number and its name."""
    path = file(tmp_path, content)
    with pytest.raises(InvalidPolicy, match=f"^{re.escape(f'{path}{message}')}"):
        load_table(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """A path that leads nowhere is told with the reason and what was expected."""
    with pytest.raises(InvalidPolicy, match=r"cannot be read \(No such file or directory\): give the path of a file"):
        load_table(tmp_path / "nothing.yaml")


def test_a_folder_without_documents_says_so(tmp_path: Path) -> None:
    """A folder is read as a mounted ConfigMap is; one without a document is told as such."""
    with pytest.raises(InvalidPolicy, match="has no CircuitBreaker document"):
        load_table(tmp_path)


def test_a_file_of_somebody_else_says_so(tmp_path: Path) -> None:
    """A file that may not be read is told with the system's reason."""
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(InvalidPolicy, match=r"cannot be read \(Too many levels of symbolic links\)"):
        load_table(tmp_path / "loop.yaml")


@pytest.mark.parametrize(
    "deep",
    ["[" * 200_000, "{a: " * 200_000, "- " * 200_000, "? " * 200_000, "[\n" * 200_000, '{"":' * 200_000],
    ids=["list", "mapping", "items", "keys", "lines", "json"],
)
def test_depth_ends_no_process(tmp_path: Path, deep: str) -> None:
    """A file that is nested without end is refused like any other, whoever reads it."""
    with pytest.raises(InvalidPolicy, match="is not YAML"):
        load_table(file(tmp_path, f"x: {deep}"))
    with pytest.raises(InvalidPolicy, match="is not YAML"):
        load_table(file(tmp_path, deep))
    (found,) = documents(f"kind: CircuitBreaker\nx:\n {deep}")
    assert found is not None
    assert "not YAML" in str(found.problem)


def test_documents_of_a_text_are_ours_or_not() -> None:
    """What is of our kind or group is read, with what is wrong with it; of the rest only their number is known."""
    ours = "{kind: CircuitBreaker, metadata: {name: a}}"
    doubled = "{kind: CircuitBreaker, kind: CircuitBreaker}"
    found = list(documents(f"{ours}\n---\nkind: Service\n---\n{doubled}\n---\napiVersion: fuseboard.dev/v2\n"))

    assert [each and each.content for each in found] == [
        {"kind": "CircuitBreaker", "metadata": {"name": "a"}},
        None,
        {"metadata": {}},
        {"apiVersion": "fuseboard.dev/v2"},
    ]
    assert [bool(each and each.problem) for each in found] == [False, False, True, False]


def test_a_text_without_ours_need_not_be_yaml() -> None:
    """A template of something else is nobody's mistake; one of a breaker must be rendered first."""
    assert list(documents("{{ a }}\n---\n{{ b }}")) == [None, None]
    (template,) = documents("kind: CircuitBreaker\n{{ a }}")
    assert template is not None
    assert "not YAML from here on" in str(template.problem)
