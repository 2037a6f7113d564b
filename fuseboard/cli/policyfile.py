"""Read a file of ``CircuitBreaker`` documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from fuseboard import policy
from fuseboard.errors import InvalidPolicy

if TYPE_CHECKING:
    from pathlib import Path


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key written twice: PyYAML silently keeps the last one."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [getattr(key, "value", None) for key, _ in node.value]
    doubled = next((key for position, key in enumerate(keys) if key in keys[:position]), None)
    if doubled is not None:
        message = f"the key {doubled!r} is there twice in the mapping that begins on line {node.start_mark.line + 1}"
        raise InvalidPolicy(message)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path) -> tuple[policy.Policy, ...]:
    """Read a file of ``CircuitBreaker`` documents.

    Raises:
        InvalidPolicy: the file cannot be read, or one of its documents cannot be used.

    """
    try:
        text = path.read_text(encoding="utf-8")
        documents = [document for document in yaml.load_all(text, _UniqueKeys) if document is not None]
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}): give the path of a file of CircuitBreaker documents"
        raise InvalidPolicy(message) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path}: is not YAML: {error}"
        raise InvalidPolicy(message) from error
    except InvalidPolicy as error:
        message = f"{path}: {error}: keep one of them"
        raise InvalidPolicy(message) from error
    if not documents:
        message = f"{path}: has no CircuitBreaker document; examples/01-one-alert/breakers.yaml shows one"
        raise InvalidPolicy(message)
    policies = [policy.parse(document, f"{path}, document {index}") for index, document in enumerate(documents, 1)]
    try:
        return policy.check_table(policies)
    except InvalidPolicy as error:
        message = f"{path}: {error}"
        raise InvalidPolicy(message) from error
