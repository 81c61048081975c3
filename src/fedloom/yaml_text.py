"""YAML that users write, read so that no text of it, however odd, is more than an error with its line."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.error import MarkedYAMLError
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode


class YamlError(Exception):
    """What is wrong with a text, and the number of its line where it is known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


MOST_VALUES = 100_000
"""Values of a text at the most, each counted as often as an alias repeats it."""


def parse_yaml(text: str) -> Any:
    """The value of one YAML document, by the safe tags alone.

    Raises YamlError for what is no YAML, for a mapping that has a key twice, and for a text that is nested too deep, holds a value that
    cannot be read, or repeats too much by its aliases.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _values(node, {}, set())
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise YamlError(getattr(error, "problem", None) or "cannot be read", mark.line + 1 if mark else None) from None
    except RecursionError:
        raise YamlError("it is nested too deep") from None
    except (ValueError, ArithmeticError, TypeError, LookupError, AttributeError) as error:  # what PyYAML raises for !!int '' and the like
        raise YamlError(f"a value cannot be read: {str(error).partition(';')[0]}") from None


def _values(node: Node, known: dict[int, int], above: set[int]) -> int:
    """The number of values below `node`, itself included. `known` has those of nodes that were counted, `above` the nodes around it."""
    if not isinstance(node, CollectionNode):
        return 1
    if id(node) in above:
        raise MarkedYAMLError(problem="a value holds itself", problem_mark=node.start_mark)
    if id(node) not in known:
        if isinstance(node, MappingNode):
            _check_keys(node)
        inside = [one for pair in node.value for one in pair] if isinstance(node, MappingNode) else node.value
        assert isinstance(node, MappingNode | SequenceNode)
        known[id(node)] = 1 + sum(_values(one, known, above | {id(node)}) for one in inside)
        if known[id(node)] > MOST_VALUES:
            raise MarkedYAMLError(problem=f"it holds more than {MOST_VALUES:,} values", problem_mark=node.start_mark)
    return known[id(node)]


def _check_keys(node: MappingNode) -> None:
    """PyYAML keeps the last of two equal keys; here they are an error. Looked at before keys that are merged in (<<) are put among them."""
    lines: dict[tuple[str, Any], int] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            continue
        if (key.tag, key.value) in lines:
            first = f"the key '{key.value}' stands here twice, first in line {lines[key.tag, key.value]}"
            raise MarkedYAMLError(problem=first, problem_mark=key.start_mark)
        lines[key.tag, key.value] = key.start_mark.line + 1
