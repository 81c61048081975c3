"""Code that is compared, and code that is run: what is asked, how an answer is read, and the program that a test runs."""

import subprocess
import sys

import pytest
from scripted import ScriptedTalker, quiet, rows_file, summary

from fedloom.data.rows import Row
from fedloom.errors import DataError, RecipeError
from fedloom.evaluation.code_answers import code_in, code_tokens, with_function
from fedloom.evaluation.suites.code_text import Conala, Concode
from fedloom.evaluation.suites.ds1000 import Ds1000, solution_in
from fedloom.evaluation.suites.ds1000 import program as ds1000_program
from fedloom.evaluation.suites.humaneval_pack import HumanEvalFix, HumanEvalSynthesize, program

TASK = {
    "task_id": "Python/0",
    "declaration": "from typing import List\n\n\ndef total(values: List[int]) -> int:\n",
    "buggy_solution": "    return sum(values) + 1\n",
    "entry_point": "total",
    "instruction": "Write a Python function `total(values: List[int]) -> int` that adds up.",
    "test_setup": "",
    "test": "def check(total):\n    assert total([1, 2]) == 3\n\ncheck(total)",
}
CONTEXT = """\
import sys
exec_context = "df = [1, 2]\\n[insert]"

def test_execution(solution):
    scope = {}
    exec(exec_context.replace("[insert]", solution), scope)
    assert scope["result"] == 3

def test_string(solution):
    assert "for" not in solution
"""


def runs(text):
    return subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, timeout=30).returncode == 0


def test_code_is_read_out_of_fences_and_cut_into_words_and_signs():
    assert code_in("Sure:\n```python\nx = 1\n```\nThat is it.") == "x = 1"
    assert code_in("```\nx = 1") == "x = 1"
    assert code_in("x = 1\n") == "x = 1"
    assert code_in("Sure:\r\n```python\r\nx = 1\r\ny = 2\r\n```\r\nDone.") == "x = 1\ny = 2"
    assert code_in('```Python 3 title="a.py"\nx = 1\n```') == "x = 1"
    assert code_in("```c++\n```\nThat was empty.") == ""
    assert code_in("Use ``` for code: x = 1") == "Use ``` for code: x = 1"
    assert code_tokens("a['k']=fooBar(1)") == ["a", "[", "`", "k", "`", "]", "=", "fooBar", "(", "1", ")"]
    assert code_tokens('"fooBar"', split_case=True) == ["`", "foo", "Bar", "`"]
    assert code_tokens("naïve_x = año2B", split_case=True) == ["na", "ï", "ve_x", "=", "a", "ñ", "o2B"]
    assert code_tokens("éA aÉ 中文", split_case=True) == ["é", "A", "a", "É", "中", "文"]


def test_conala_and_concode_are_scored_against_their_references(tmp_path):
    rows = [
        {"intent": "sort", "rewritten_intent": "sort list `x` in place", "snippet": "x.sort()"},
        {"intent": "open a file", "rewritten_intent": None, "snippet": "open('a')"},
    ]
    suite = Conala(data=rows_file(tmp_path / "conala.jsonl", rows))
    talker = ScriptedTalker(lambda turns: "```python\nx . sort ( )\n```" if "`x`" in turns[0][1] else "close('a')")
    suite.check()
    scored = suite.score(talker, quiet)
    assert talker.asked[1][0][1].endswith("open a file")
    found = summary(suite, scored)
    assert found["exact_match"] == 0.5
    assert found["bleu"] == pytest.approx((10 / 11 * 8 / 9 * 6 / 7 * 4 / 5) ** 0.25)  # x . sort ( ) and close ( ` a ` ), of 5 and 6 tokens

    java = [
        {"nl": "get the name concode_field_sep String name concode_elem_sep PlaceHolder", "code": "String function ( ) { return name ; }"}
    ]
    suite, talker = Concode(data=rows_file(tmp_path / "dev.json", java)), ScriptedTalker(lambda turns: "String function() { return name; }")
    assert summary(suite, suite.score(talker, quiet)) == {"bleu": 1.0, "exact_match": 1.0}
    assert talker.asked[0][0][1].endswith("get the name \n String name   PlaceHolder")
    with pytest.raises(DataError, match="column 'code' is empty; take a split with references"):
        Concode(data=rows_file(tmp_path / "test.json", [{**java[0], "code": ""}])).check()


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("```python\ndef total(values: List[int]) -> int:\n    return sum(values)\n```", True),  # List comes from the declaration
        ("    return sum(values)", True),  # the body alone
        ("Fixed:\n```\ndef total(values):\n    return sum(values) + 1\n```", False),
        ("I do not know.", False),
    ],
)
def test_a_function_is_put_together_with_its_tests(answer, right):
    assert runs(program(Row(TASK, "row"), answer)) is right


def test_a_method_of_the_same_name_is_not_the_function():
    assert with_function("class A:\n    def total(self): ...", "def total():\n", "total").startswith("def total():\nclass A")


def test_fixing_shows_the_bug_and_the_tests_and_writing_the_instruction():
    row = Row(TASK, "row")
    asked = HumanEvalFix(data="x", run_code=True).asked(row)
    assert asked.startswith("from typing import List")
    assert asked.endswith(
        "    return sum(values) + 1\n\ndef check(total):\n    assert total([1, 2]) == 3\n\ncheck(total)\nFix bugs in total."
    )
    assert HumanEvalSynthesize(data="x", run_code=True).asked(row) == TASK["instruction"]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("result = sum(df)\n</code>\nEND SOLUTION", True),
        ("```python\n# SOLUTION START\nresult = sum(df)\n```", True),
        ("result = 0\nfor one in df:\n    result += one", False),  # right, but the row's test of words wants no loop
        ("result = 4", False),
    ],
)
def test_a_solution_of_ds_1000_runs_in_its_context(answer, right):
    assert runs(ds1000_program(Row({"code_context": CONTEXT}, "row"), solution_in(answer))) is right


class Sandbox:
    """Stands in for the sandbox: runs the programs of this file, which are harmless."""

    Limits = dict

    @staticmethod
    def check_sandbox():
        pass

    @staticmethod
    def passes(program, limits):
        return runs(program)


@pytest.fixture
def shut_in(monkeypatch):
    monkeypatch.setattr("fedloom.evaluation.program_tests.sandbox", Sandbox)


def test_functions_that_pass_are_counted(tmp_path, shut_in):
    tasks = rows_file(tmp_path / "pack.jsonl", [TASK, {**TASK, "task_id": "Python/1"}])
    suite = HumanEvalSynthesize(data=tasks, run_code=True)
    suite.check()
    rows = suite.score(ScriptedTalker(lambda turns: "    return sum(values)"), quiet)
    assert [(row.row, row.values) for row in rows] == [("Python/0", {"passed": 1.0}), ("Python/1", {"passed": 1.0})]


def test_a_problem_whose_own_solution_does_not_pass_here_is_in_no_share(tmp_path, shut_in):
    problem = {"prompt": "p", "reference_code": "result = sum(df)", "code_context": CONTEXT, "metadata": {"library": "Pandas"}}
    problems = [problem, {**problem, "code_context": f"import no_such_library\n{CONTEXT}", "metadata": {"library": "Tensorflow"}}]
    suite = Ds1000(data=rows_file(tmp_path / "ds1000.jsonl", problems), run_code=True)
    suite.check()
    rows = suite.score(ScriptedTalker(lambda turns: "result = 3"), quiet)
    assert [(row.values, row.group) for row in rows] == [
        ({"unsolvable": 0.0, "passed": 1.0}, "Pandas"),
        ({"unsolvable": 1.0}, "Tensorflow"),
    ]
    assert summary(suite, rows) == {"passed": 1.0, "unsolvable": 1.0}


def test_programs_run_only_when_the_user_says_so(tmp_path, shut_in):
    for suite in (HumanEvalFix, HumanEvalSynthesize, Ds1000):
        with pytest.raises(RecipeError, match=rf"{suite.name}\.run_code: .* in a sandbox; write {suite.name}\.run_code=true if you agree"):
            suite(data="x").check()
    other = rows_file(tmp_path / "java.jsonl", [{**TASK, "task_id": "Java/0"}])
    with pytest.raises(DataError, match="is the task Java/0; take HumanEvalPack's tasks of Python"):
        HumanEvalFix(data=other, run_code=True).check()
