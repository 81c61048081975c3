"""The suites of the harness on small files in the real sets' columns, answered by a script and counted by hand."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fedloom.errors import DataError, FedloomError, RecipeError
from fedloom.evaluating import chosen_suites
from fedloom.evaluation.evaluated import FOLDER, evaluated, keep
from fedloom.evaluation.suites import suites
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe
from fedloom.report.record import Event, RunRecord
from fedloom.report.suites_compared import suites_compared

pytest.importorskip("lm_eval")

MMLU = [
    {"question": "Where is the heart?", "subject": "x", "choices": ["chest", "foot", "hand", "head"], "answer": 0},
    {"question": "Where is the toe?", "subject": "x", "choices": ["chest", "foot", "hand", "head"], "answer": 1},
    {"question": "Where is the nose?", "subject": "x", "choices": ["chest", "foot", "hand", "head"], "answer": 3},
]
MEDICAL = ("anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine")
DROP = {
    "section_id": "s",
    "query_id": "q1",
    "passage": "Ann has 3 cats and Bob has 4 dogs.",
    "question": "How many animals?",
    "answer": {"number": "7", "date": {"day": "", "month": "", "year": ""}, "spans": [], "worker_id": "", "hit_id": ""},
    "validated_answers": {"number": [], "date": [], "spans": [], "worker_id": [], "hit_id": []},
}
SPANS = {
    **DROP,
    "query_id": "q2",
    "question": "Who has pets?",
    "answer": {**DROP["answer"], "number": "", "spans": ["Ann Lee"]},
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def add(a, b):\n    """The sum."""\n',
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(2, 3) == 5\n",
}
MBPP = {
    "task_id": 11,
    "text": "Write a function that doubles.",
    "code": "def twice(x):\r\n  return 2 * x",
    "test_list": ["assert twice(1) == 2", "assert twice(2) == 4", "assert twice(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": [],
}


@dataclass
class Script:
    """A talker whose answers are known: by the first of `says` that stands in the last question. Likelihoods prefer what it says."""

    says: dict[str, str]
    tokenizer: Any
    template: str = "chat"
    identity: str = "script"

    def said(self, text):
        last = max((text.rfind(key), key) for key in self.says)
        return self.says[last[1]] if last[0] >= 0 else ""

    def continued(self, texts, max_new_tokens, stop=(), progress=None):
        answers = [self.said(text.text) for text in texts]
        cuts = [min([answer.find(mark) for mark in stop if mark in answer] or [len(answer)]) for answer in answers]
        return [answer[:cut] for answer, cut in zip(answers, cuts, strict=True)]

    def likelihoods(self, pairs, progress):
        decoded = [(self.tokenizer.decode(context), self.tokenizer.decode(continuation).strip()) for context, continuation in pairs]
        return [(-1.0 if self.said(context) == continuation else -9.0, False) for context, continuation in decoded]


@pytest.fixture(scope="module")
def tokenizer():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu")).tokenizer


@pytest.fixture
def run(tokenizer, tmp_path, monkeypatch):
    """What a suite gives for rows in a file, answered by a script: {measure: value}, and its rows."""
    monkeypatch.setattr("fedloom.evaluation.harness.likelihoods", lambda talker, pairs, progress: talker.likelihoods(pairs, progress))

    def of(name, rows, says, *settings):
        data = rows if isinstance(rows, str) else str(write(tmp_path / "data.jsonl", *rows))
        suite = chosen_suites([name], [f"{name}.data={data}", *settings])[name]
        scored = suite.score(Script(says, tokenizer), lambda done, total: None)
        return {key: round(value, 4) for key, value in suite.summary(scored, np.ones(len(scored))).items()}, scored

    return of


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("chat", ["false", "true"])
def test_gsm8k_takes_the_last_number_and_beside_it_the_one_that_is_marked(run, chat):
    rows = [{"question": f"Sum {n}?", "answer": f"So.\n#### {n}"} for n in ("18", "3", "1,200", "5")]
    says = {"Sum 18?": "It is 18 dollars.", "Sum 3?": "2 + 1\n#### 3", "Sum 1,200?": "#### 1200 of 7", "Sum 5?": "four"}
    found, scored = run("gsm8k", rows, says, "gsm8k.shots=0", f"gsm8k.chat={chat}")
    assert found == {"exact_match": 0.5, "exact_match_strict": 0.5}
    assert [row.values["exact_match"] for row in scored] == [1, 1, 0, 0]
    assert [row.values["exact_match_strict"] for row in scored] == [0, 1, 1, 0]


def test_pubmedqa_compares_yes_no_and_maybe(run):
    rows = [{"QUESTION": f"Is it {n}?", "CONTEXTS": ["a", "b"], "final_decision": right} for n, right in enumerate(["yes", "no", "maybe"])]
    found, _ = run("pubmedqa", rows, {"Is it 0?": "yes", "Is it 1?": "yes", "Is it 2?": "maybe"})
    assert found == {"acc": 0.6667}


def test_mmlu_by_subject_is_the_mean_of_all_rows(run, tmp_path):
    for number, subject in enumerate(MEDICAL):
        write(tmp_path / "sets" / subject / "test.jsonl", *MMLU[: 3 if number == 0 else 1])
    found, scored = run("mmlu_medical", str(tmp_path / "sets"), {"heart?": "A", "toe?": "B", "nose?": "C"})
    assert found == {"acc": 0.875}  # 7 of 8 rows; the mean of subjects would be 0.9444
    assert {row.group for row in scored} == set(MEDICAL)
    assert scored[2].row == "mmlu_anatomy/2"
    limited, _ = run("mmlu_medical", str(tmp_path / "sets"), {"heart?": "A"}, "mmlu_medical.limit=1")
    assert limited == {"acc": 1.0}


def test_medqa_and_medmcqa_by_letters(run):
    medqa = [{"id": "1", "sent1": "Which one?", "sent2": "", **{f"ending{n}": f"drug {n}" for n in range(4)}, "label": 2}]
    assert run("medqa", medqa, {"Which one?": "C"})[0] == {"acc": 1.0, "acc_norm": 1.0}
    medmcqa = [{"id": "1", "question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 3, "exp": None}]
    assert run("medmcqa", medmcqa, {"Which?": "A"})[0] == {"acc": 0.0, "acc_norm": 0.0}


def test_crass_compares_whole_choices(run):
    choices = ["He fell", "He flew"]
    rows = [
        {"idx": n, "inputs": f"What if {n}?", "targets": [right], "multiple_choice_targets": choices, "multiple_choice_scores": [1, 0]}
        for n, right in enumerate(["He fell", "He flew"])
    ]
    assert run("crass", rows, {"What if": "He flew"})[0] == {"acc": 0.5}


def test_drop_has_the_exact_match_and_the_f1_of_its_authors(run):
    found, scored = run("drop", [DROP, SPANS], {"How many animals?": " 7", "Who has pets?": " Ann"}, "drop.chat=false")
    assert [row.values["exact_match"] for row in scored] == [1, 0]
    assert found == {"exact_match": 0.5, "f1": 0.835}  # F1 of "Ann" against "Ann Lee": 2/3, which its authors round to 0.67


def test_bbh_takes_what_stands_behind_its_sentence(run, tmp_path):
    from lm_eval.tasks import TaskManager

    from fedloom.evaluation.harness_tasks import FOLDER

    tasks = TaskManager(include_path=str(FOLDER / "bbh" / "cot_fewshot"), include_defaults=False).task_index["bbh"].cfg["task"]
    for task in tasks:
        rows = [{"input": f"{n} of it", "target": "True"} for n in ("one", "two")]
        write(tmp_path / "bbh" / f"{task.removeprefix('bbh_cot_fewshot_')}.jsonl", *rows)
    found, scored = run("bbh", str(tmp_path / "bbh"), {"one of it": " Well, so the answer is True.", "two of it": "True."}, "bbh.limit=2")
    assert len(scored) == 54
    assert found == {"exact_match": 0.5}


def test_math_compares_what_is_in_the_box(run, tmp_path):
    subjects = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra", "precalculus")
    for subject in subjects:
        rows = [{"problem": f"{n} parts?", "level": "1", "type": subject, "solution": "So \\boxed{\\frac{1}{2}}."} for n in (1, 2)]
        write(tmp_path / "math" / subject / "test.jsonl", *rows)
    says = {"1 parts?": "It is $\\frac12$.", "2 parts?": "It is $2$."}
    assert run("math", str(tmp_path / "math"), says)[0] == {"exact_match": 0.5}


def test_one_file_of_a_suite_in_parts_is_shared_out_by_the_column_that_names_the_part(run):
    """Every row is asked once, in its own part; a part without a row is not asked."""
    kinds = ("Algebra", "Counting & Probability", "Algebra", "Intermediate Algebra")
    rows = [{"problem": f"{n} parts?", "level": "1", "type": kind, "solution": "So \\boxed{2}."} for n, kind in enumerate(kinds)]
    found, scored = run("math", rows, {"0 parts?": "It is $2$.", "1 parts?": "It is $2$."})
    assert found == {"exact_match": 0.5}
    assert [row.group for row in scored] == ["algebra", "algebra", "counting_and_probability", "intermediate_algebra"]
    of_subject = [{**row, "subject": subject} for row, subject in zip(MMLU, ("anatomy", "anatomy", "virology"), strict=True)]
    found, scored = run("mmlu", of_subject, {"heart?": "A", "toe?": "C", "nose?": "D"})
    assert found == {"acc": 0.6667}
    assert [row.group for row in scored] == ["anatomy", "anatomy", "virology"]
    found, scored = run("mmlu_medical", of_subject, {"heart?": "A", "toe?": "C", "nose?": "D"})
    assert [row.group for row in scored] == ["anatomy", "anatomy"]  # the other subjects of MMLU are none of this suite


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("bbh", [{"input": "one", "target": "yes"}], r"no column says which part of the set a row is of \(boolean_expressions, causal_"),
        ("math", [{"problem": "1?", "solution": "1"}], r"no column 'type' says which part .*; give a folder with a file of each$"),
        (
            "math",
            [{"problem": "1", "solution": "1", "type": "Algebr"}],
            r"the set has no part 'Algebr', but algebra, c",
        ),
        ("mmlu", MMLU, "column 'subject': the set has no part 'x', but abstract_algebra, anatomy, "),
        ("mmlu_medical", [{**MMLU[0], "subject": "virology"}], "holds no row of the parts that are asked; see its column 'subject'$"),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_does_not_say_the_part_of_its_rows_is_refused(name, rows, message, folder, tmp_path):
    shots = [] if name != "bbh" else ["bbh.shots=3"]
    file = write(tmp_path / "folder" / "test.jsonl", *rows)
    with pytest.raises(DataError, match=message) as raised:
        chosen_suites([name], [f"{name}.data={file.parent if folder else file}", *shots])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "row", "says"),
    [
        (
            "humaneval",
            HUMANEVAL,
            {"false": ("    return a + b\n\ndef other():", "    return a - b\n"), "true": ("    return a + b\n```", "```")},
        ),
        ("mbpp", MBPP, {"false": ("def twice(x):\n  return 2 * x\n[DONE]", "x"), "true": ("def twice(x):\n  return 2 * x\n[DONE]", "so")}),
    ],
)
@pytest.mark.parametrize("chat", ["false", "true"])
def test_programs_pass_when_their_tests_do(run, name, row, says, chat):
    right, wrong = says[chat]
    found, _ = run(name, [row], {"": right}, f"{name}.run_code=true", f"{name}.chat={chat}")
    assert found == {"pass@1": 1.0}
    found, _ = run(name, [row], {"": wrong}, f"{name}.run_code=true", f"{name}.chat={chat}")
    assert found == {"pass@1": 0.0}


@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_no_program_runs_unless_it_is_allowed(name):
    with pytest.raises(RecipeError, match=rf"^{name}\.run_code: to run what a model wrote, in a sandbox, is off; allow it with"):
        chosen_suites([name], [])


@pytest.fixture
def drinks(tmp_path):
    """A group of two tasks of one's own, and the settings that name it."""
    (tmp_path / "own").mkdir()
    task = {
        "task": "tea",
        "dataset_path": "none/tea",
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{ask}}",
        "doc_to_choice": ["yes", "no"],
        "doc_to_target": "right",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    for name, rows in (("tea", [("Hot?", 0), ("Cold?", 0), ("Wet?", 0)]), ("milk", [("White?", 0)])):
        (tmp_path / "own" / f"{name}.yaml").write_text(json.dumps({**task, "task": name, "dataset_name": name}))
        write(tmp_path / "sets" / f"{name}.jsonl", *({"ask": ask, "right": right} for ask, right in rows))
    group = {"group": "drinks", "task": ["tea", "milk"], "aggregate_metric_list": [{"metric": "acc", "weight_by_size": False}]}
    (tmp_path / "own" / "group.yaml").write_text(json.dumps(group))
    return f"harness.include_path={tmp_path / 'own'}"


DRINKS = {"Hot?": "yes", "Cold?": "no", "Wet?": "no", "White?": "yes"}


def test_any_task_of_your_own_has_the_harness_measures(run, drinks, tmp_path):
    own, says = drinks, DRINKS
    assert run("harness", str(tmp_path / "sets"), says, "harness.task=tea", own)[0] == {"acc": 0.3333}
    assert run("harness", str(tmp_path / "sets"), says, "harness.task=drinks", own)[0] == {"acc": 0.6667}  # the mean of 1/3 and 1
    with pytest.raises(DataError, match=r"does not fit the task 'tea' \(UndefinedError: 'ask' is undefined\); give a copy of hub:none/tea"):
        run("harness", str(write(tmp_path / "x.jsonl", {"q": "one", "right": 0})), says, "harness.task=tea", own)


def test_what_was_kept_of_any_task_is_compared_by_its_measures(run, drinks, tmp_path):
    """They are known once rows are scored: results hold them, and a suite that is made anew does not."""
    place, settings = str(tmp_path / "sets"), ["harness.task=drinks", drinks]
    right = {**DRINKS, "Cold?": "yes", "Wet?": "yes"}
    suite = chosen_suites(["harness"], [f"harness.data={place}", *settings])["harness"]
    for folder, says in (("a", DRINKS), ("b", right)):
        _, scored = run("harness", place, says, *settings)
        keep(evaluated("harness", suite, {"tuned": [scored]}), tmp_path / folder / FOLDER)
    (found,), notes = suites_compared([tmp_path / "a", tmp_path / "b"])
    assert notes == []
    assert (found.measure.name, found.measure.unit, found.measure.better) == ("acc", "share", "higher")
    assert [round(value.value, 4) for value in found.values] == [0.6667, 1.0]
    kept = {"harness": json.loads((tmp_path / "a" / FOLDER / "harness.json").read_text())}
    record = RunRecord(tmp_path, {}, metrics=(Event(1, None, "probe/federated/harness/acc", 0.5),), suites=kept)
    assert [(measure.title, measure.unit) for measure in record.probe_measures] == [("harness: acc", "share")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["gsm8k.shots=0"],
            r"^gsm8k.data: name a file or folder with the columns question, answer, a copy of hub:openai/gsm8k \(main\): the hub's",
        ),
        (["gsm8k.shots=0", "gsm8k.data=FILE"], "has no column 'question', but query; this file of sha256 .* is another version of the set"),
        (["gsm8k.data=FOLDER"], "holds no file of the split 'train' of main; add train.jsonl"),
        (
            ["gsm8k.data=FILE"],
            "examples come from the split 'train', and a file is one split: give a folder with train.jsonl",
        ),
        (["crass.shots=2"], r"^crass.shots: 'bigbench_crass_ai_multiple_choice' has no rows for examples beside those that are asked"),
        (["humaneval.shots=2", "humaneval.run_code=true"], r"^humaneval.shots: 'humaneval' is asked without examples; leave shots out"),
        (["gsm8k.data=FOLDER", "gsm8k.tasks=1"], "^gsm8k.tasks: unknown key"),
    ],
)
def test_data_that_is_not_there_or_is_another_version_is_said_in_one_line(settings, message, tmp_path):
    places = {"FILE": str(write(tmp_path / "old.jsonl", {"query": "one"})), "FOLDER": str(tmp_path / "folder")}
    write(tmp_path / "folder" / "test.jsonl", {"question": "one", "answer": "#### 1"})
    words = [setting.replace("FILE", places["FILE"]).replace("FOLDER", places["FOLDER"]) for setting in settings]
    with pytest.raises(FedloomError, match=message) as raised:
        chosen_suites([settings[0].partition(".")[0]], words)
    assert "\n" not in str(raised.value)


def test_a_file_of_a_known_release_is_called_by_its_name(tmp_path):
    path = write(tmp_path / "test.jsonl", {"question": "one", "answer": "#### 1"})
    suite = chosen_suites(["gsm8k"], [f"gsm8k.data={path}", "gsm8k.shots=0"])["gsm8k"]
    described = suite.described()
    assert described["release"] == "none that is known"
    assert described["tasks"] == {"gsm8k": "3.0"}
    type(suite).entry["releases"][described["data_sha256"]] = "mine"
    assert suite.described()["release"] == "mine"
    del type(suite).entry["releases"][described["data_sha256"]]


def test_naming_the_suites_does_not_import_the_harness():
    code = "import fedloom.evaluation.suites, sys; assert not {'lm_eval', 'datasets', 'evaluate'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_suite_says_which_extra_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(FedloomError, match=r"^the suite gsm8k needs lm-eval, which is not installed: pip install 'fedloom\[evaluation\]'"):
        suites.get("gsm8k")().check()
