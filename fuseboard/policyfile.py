"""Read ``CircuitBreaker`` documents from a file, or from the files of a folder, such as a mounted ConfigMap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from fuseboard import validation
from fuseboard.errors import InvalidPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fuseboard.policy import Policy

SUFFIXES: Final = (".yaml", ".yml")


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is there: a table of 10,000 breakers is read in a fifth of the time."""


class _UniqueKeys(_Loader):  # type: ignore[misc,valid-type]
    """YAML that refuses a key written twice: PyYAML silently keeps the last one."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [getattr(key, "value", None) for key, _ in node.value]
    doubled = next((key for position, key in enumerate(keys) if key in keys[:position]), None)
    if doubled is not None:
        message = f"the key {doubled!r} is there twice in the mapping that begins on line {node.start_mark.line + 1}"
        raise InvalidPolicy(message)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path) -> tuple[Policy, ...]:
    """Read a breaker table.

    Raises:
        InvalidPolicy: a file cannot be read, or one of its documents cannot be used.

    """
    return parse(read(path), path)


def read(path: Path) -> dict[Path, str]:
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


def parse(texts: Mapping[Path, str], path: Path) -> tuple[Policy, ...]:
    """Turn what ``read`` found at a path into a breaker table.

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
        documents = [document for document in yaml.load_all(text, _UniqueKeys) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{path}: is not YAML: {error}"
        raise InvalidPolicy(message) from error
    except InvalidPolicy as error:
        message = f"{path}: {error}: keep one of them"
        raise InvalidPolicy(message) from error
    return [validation.parse(document, f"{path}, document {index}") for index, document in enumerate(documents, 1)]
