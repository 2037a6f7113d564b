"""Read ``CircuitBreaker`` documents from a file, or from the files of a folder, such as a mounted ConfigMap."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from fuseboard.errors import InvalidPolicy
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
"""libyaml's where it is there: a table of 10,000 breakers is read in a fifth of the time."""


class _UniqueKeys(_Loader):  # type: ignore[misc,valid-type]
    """YAML that refuses a key written twice: PyYAML silently keeps the last one."""


class _Careful(yaml.SafeLoader):
    """The same in Python, for what is nested deep: it raises, where libyaml's loader ends the process."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [getattr(key, "value", None) for key, _ in node.value]
    doubled = next((key for position, key in enumerate(keys) if key in keys[:position]), None)
    if doubled is not None:
        message = f"the key {doubled!r} is there twice in the mapping that begins on line {node.start_mark.line + 1}"
        raise InvalidPolicy(message)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


for _each in (_UniqueKeys, _Careful):
    _each.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _loader(text: str) -> type[yaml.SafeLoader]:
    """Return what reads a text: the fast one, unless it may be nested too deep for it."""
    depths = accumulate(1 if each[0] in "[{" else -1 for each in _BRACKETS.finditer(text))
    return _Careful if _NESTED.search(text) or max(depths, default=0) > _DEEP else _UniqueKeys


class Document(NamedTuple):
    """A document of a file: what it says, or why it says nothing."""

    content: object = None
    problem: str = ""


def documents(text: str) -> Iterator[Document | None]:
    """Yield each ``CircuitBreaker`` document of a text, and nothing for each that is of another kind.

    What is wrong with one does not hide another. A text that has none need not be YAML at all: a template, for example.
    """
    if KIND not in text and GROUP not in text:
        yield from [None] * sum(1 for each in _BETWEEN.split(text) if each.strip())
        return
    try:
        loader = _loader(text)(text)
        while loader.check_node():
            yield _document(loader, loader.get_node())
    except (yaml.YAMLError, RecursionError) as error:
        yield Document(problem=f"the file is not YAML from here on: {' '.join(str(error).split())}")
    except UnicodeEncodeError:  # libyaml is given UTF-8
        yield Document(problem="the file is no text in UTF-8: save it as UTF-8")


def _document(loader: yaml.SafeLoader, node: yaml.Node | None) -> Document | None:
    if not isinstance(node, yaml.MappingNode) or not _is_ours(node):
        return None
    try:
        return Document(loader.construct_document(node))
    except InvalidPolicy as error:
        return Document(_heading(node), f"{error}: keep one of them")
    except (yaml.YAMLError, RecursionError) as error:
        return Document(_heading(node), f"the document is not YAML: {' '.join(str(error).split())}")


def _is_ours(node: yaml.MappingNode) -> bool:
    head = _scalars(node)
    return head.get("kind") == KIND or head.get("apiVersion", "").partition("/")[0] == GROUP


def _heading(node: yaml.MappingNode) -> object:
    """Return what a document is called, where it says no more than that."""
    inner = (value for key, value in node.value if key.value == "metadata" and isinstance(value, yaml.MappingNode))
    return {"metadata": _scalars(next(inner, yaml.MappingNode("", [])))}


def _scalars(node: yaml.MappingNode) -> dict[str, str]:
    return {key.value: value.value for key, value in node.value if isinstance(value, yaml.ScalarNode)}


def load_table(path: Path) -> tuple[Policy, ...]:
    """Read a breaker table.

    Raises:
        InvalidPolicy: a file cannot be read, or one of its documents cannot be used.

    """
    return parse_table(read_files(path), path)


def read_files(path: Path) -> dict[Path, str]:
    """Return the text of a file, or of each file of a folder whose name ends as YAML's do.

    Raises:
        InvalidPolicy: it cannot be read.

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
    """Turn what ``read_files`` found at a path into a breaker table.

    Raises:
        InvalidPolicy: one of their documents cannot be used, or there is none.

    """
    policies = [each for file, text in texts.items() for each in _policies(file, text)]
    if not policies:
        message = f"{path}: has no CircuitBreaker document; examples/01-one-alert/breakers.yaml shows one"
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
        message = f"{path}: {error}: keep one of them"
        raise InvalidPolicy(message) from error
    return [
        validation.parse_document(document, f"{path}, document {index}") for index, document in enumerate(documents, 1)
    ]
