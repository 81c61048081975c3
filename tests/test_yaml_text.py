"""YAML of users: what is odd is an error with its line, quickly, and what is right is read."""

import time

import pytest
import yaml

from fedloom.yaml_text import MOST_VALUES, YamlError, parse_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))


def test_plain_yaml_with_anchors_and_merged_keys_is_read():
    text = "base: &base {rank: 8, alpha: 16}\nmine: {<<: *base, rank: 4}\nagain: *base\nnone:\n"
    base = {"rank": 8, "alpha": 16}
    assert parse_yaml(text) == {"base": base, "mine": {"rank": 4, "alpha": 16}, "again": base, "none": None}
    merged = "base: &base {x: 1, y: 1}\nd: {e: &e {<<: *base, x: 2}}\nf: {<<: *e, y: 3}\n"
    assert parse_yaml(merged) == yaml.safe_load(merged)
    assert parse_yaml("") is None
    assert parse_yaml("3.5") == 3.5


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("name: a\ntask: {kind: sft}\ntask: {kind: dpo}\n", 3, "the key 'task' stands here twice, first in line 2"),
        ("{seed: 1, seed: 2}", 1, "the key 'seed' stands here twice, first in line 1"),
        ("task:\n  kind: sft\n  steps: 3\n  kind: dpo\n", 4, "the key 'kind' stands here twice, first in line 2"),
        (BOMB, 5, f"it holds more than {MOST_VALUES:,} values"),
        ("a: " + "[" * 100_000 + "]" * 100_000, None, "it is nested too deep"),
        ("".join(" " * i + f"a{i}:\n" for i in range(3000)), None, "it is nested too deep"),
        ("data: &x {source: *x}", 1, "a value holds itself"),
        ("seed: " + "9" * 10_000, None, "a value cannot be read: Exceeds the limit"),
        ("name: 2020-13-45", None, "a value cannot be read: month must be in 1..12"),
        ("name: !!python/object/apply:os.system [ls]", 1, "could not determine a constructor"),
        ("{1: a, 1: b}", 1, "the key '1' stands here twice, first in line 1"),
        ("seed: !!int ''", None, "a value cannot be read"),
        ("seed: !!bool foo", None, "a value cannot be read"),
        ("seed: !!timestamp foo", None, "a value cannot be read"),
        ("a: [1", 1, "expected ',' or ']'"),
        ("a: \x00", None, "cannot be read"),
        ("{[1, 2]: 3}", 1, "found unhashable key"),
    ],
    ids=lambda value: str(value)[:30].replace("\n", " ").replace("\x00", "NUL"),
)
def test_what_is_odd_is_an_error_with_its_line(text, line, problem):
    begin = time.monotonic()
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert problem in caught.value.problem
    assert caught.value.line == line
    assert time.monotonic() - begin < 20
