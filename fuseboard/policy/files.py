"""Read ``CircuitBreaker`` documents from a file, or from the files of a folder, such as a mounted ConfigMap."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from fuseboard.errors import InvalidPolicy, Problem
from fuseboard.policy import validation
from fuseboard.policy.spec import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fuseboard.policy.spec import Policy

SUFFIXES: Final = (".yaml", ".yml")
GROUP: Final = API_VERSION.partition("/")[0]

_BETWEEN: Final = re.compile(r"^---", re.MULTILINE)

_DEEP: Final = 500
_BRACKETS: Final = re.compile(r"[\[\]{}]")
_NESTED: Final = re.compile(rf"(?:[-?:]\s+){{{_DEEP}}}|^ {{{_DEEP}}}", re.MULTILINE)

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of libyaml if installed: reading a table of 10,000 breakers takes a fifth of the time."""


class _UniqueKeys(_Loader):  # type: ignore[misc,valid-type]
    """A loader that refuses duplicate keys: PyYAML silently keeps the last value."""


class _Careful(yaml.SafeLoader):
    """The same loader in pure Python, for deep nesting: libyaml's loader would end the process."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [getattr(key, "value", None) for key, _ in node.value]
    doubled = next((key for position, key in enumerate(keys) if key in keys[:position]), None)
    if doubled is not None:
        message = f"the key {doubled!r} appears twice in the mapping that begins on line {node.start_mark.line + 1}"
        raise InvalidPolicy(message)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


for _each in (_UniqueKeys, _Careful):
    _each.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _loader(text: str) -> type[yaml.SafeLoader]:
    """Return the fast loader, or the careful loader for a text that may be nested too deep."""
    depths = accumulate(1 if each[0] in "[{" else -1 for each in _BRACKETS.finditer(text))
    return _Careful if _NESTED.search(text) or max(depths, default=0) > _DEEP else _UniqueKeys


class Document(NamedTuple):
    """A CircuitBreaker document of a file, or the problem that makes it unreadable."""

    content: object = None
    problem: Problem | None = None


def documents(text: str) -> Iterator[Document | None]:
    """Yield the ``CircuitBreaker`` documents of a text, and None for each document of another kind.

    A problem in a document does not hide the next document. A text without a CircuitBreaker need not be YAML: it may be
    a template.
    """
    if KIND not in text and GROUP not in text:
        yield from [None] * sum(1 for each in _BETWEEN.split(text) if each.strip())
        return
    try:
        loader = _loader(text)(text)
        while loader.check_node():
            yield _document(loader, loader.get_node())
    except (yaml.YAMLError, RecursionError) as error:
        yield Document(problem=Problem(f"the file is not YAML from here on: {_one_line(error)}"))
    except UnicodeEncodeError:  # the loader hands UTF-8 to libyaml
        yield Document(problem=Problem("the file is not UTF-8 text: save it as UTF-8"))


def _document(loader: yaml.SafeLoader, node: yaml.Node | None) -> Document | None:
    if not isinstance(node, yaml.MappingNode) or not _is_ours(node):
        return None
    try:
        return Document(loader.construct_document(node))
    except InvalidPolicy as error:
        return Document(_heading(node), Problem(f"{error}: remove one of the two"))
    except (yaml.YAMLError, RecursionError) as error:
        return Document(_heading(node), Problem(f"the document is not YAML: {_one_line(error)}"))


def _is_ours(node: yaml.MappingNode) -> bool:
    head = _scalars(node)
    return head.get("kind") == KIND or head.get("apiVersion", "").partition("/")[0] == GROUP


def _heading(node: yaml.MappingNode) -> object:
    """Return a document reduced to its name."""
    inner = (value for key, value in node.value if key.value == "metadata" and isinstance(value, yaml.MappingNode))
    return {"metadata": _scalars(next(inner, yaml.MappingNode("", [])))}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _scalars(node: yaml.MappingNode) -> dict[str, str]:
    return {key.value: value.value for key, value in node.value if isinstance(value, yaml.ScalarNode)}


def load_table(path: Path) -> tuple[Policy, ...]:
    """Read a breaker table.

    Raises:
        InvalidPolicy: a file cannot be read, or a document is invalid.

    """
    return parse_table(read_files(path), path)


def read_files(path: Path) -> dict[Path, str]:
    """Return the text of a file, or of each YAML file of a folder.

    Raises:
        InvalidPolicy: a file cannot be read.

    """
    try:
        files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
        return {each: each.read_text(encoding="utf-8") for each in files}
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}): give the path of a file of CircuitBreaker documents"
        raise InvalidPolicy(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: is not YAML: {error}"
        raise InvalidPolicy(message) from error


def parse_table(texts: Mapping[Path, str], path: Path) -> tuple[Policy, ...]:
    """Parse the texts that ``read_files`` returned for a path into a breaker table.

    Raises:
        InvalidPolicy: a document is invalid, or there is no document.

    """
    policies = [each for file, text in texts.items() for each in _policies(file, text)]
    if not policies:
        message = f"{path}: has no CircuitBreaker document; see examples/01-one-alert/breakers.yaml for an example"
        raise InvalidPolicy(message)
    try:
        return validation.check_table(policies)
    except InvalidPolicy as error:
        message = f"{path}: {error}"
        raise InvalidPolicy(message) from error


def _policies(path: Path, text: str) -> list[Policy]:
    try:
        documents = [document for document in yaml.load_all(text, _loader(text)) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{path}: is not YAML: {error}"
        raise InvalidPolicy(message) from error
    except InvalidPolicy as error:
        message = f"{path}: {error}: remove one of the two"
        raise InvalidPolicy(message) from error
    return [
        validation.parse_document(document, f"{path}, document {index}") for index, document in enumerate(documents, 1)
    ]
