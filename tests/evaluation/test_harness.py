"""The adapter of lm-evaluation-harness, held to the harness' own model class on tiny-llama."""

import json

import pytest

from fedloom.errors import RecipeError
from fedloom.evaluation.talker import Talker
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe

pytest.importorskip("lm_eval")

from lm_eval.api.instance import Instance
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from fedloom.evaluation.harness import HarnessModel, quiet, scored
from fedloom.evaluation.harness_tasks import FOLDER, Order, built

GSM8K = [{"question": f"How much is {n} and {n}?", "answer": f"It is {2 * n}.\n#### {2 * n}"} for n in range(1, 7)]
PUBMEDQA = {
    str(n): {"QUESTION": f"Is {n} water?", "CONTEXTS": ["We looked.", f"It was hot {n} times."], "final_decision": answer}
    for n, answer in enumerate(["yes", "no", "maybe", "no", "yes"])
}


@pytest.fixture(scope="module")
def loaded():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))


@pytest.fixture(scope="module")
def theirs(loaded):
    with quiet():
        return HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=1)


@pytest.fixture
def talker(loaded, request):
    return Talker(loaded.model, loaded.tokenizer, "chat", request.node.name, batch_size=4)


def asked(kind, *arguments):
    return [Instance(kind, {}, one, place, ("task", place, 1)) for place, one in enumerate(arguments)]


def test_likelihoods_are_the_harness_own(talker, theirs):
    texts = [("the water is ", "hot"), ("the water is", " cold"), ("", "the water"), ("A. one\nB. two\nAnswer:", " A"), ("Answer:", " B C")]
    ours = HarnessModel(talker).loglikelihood(asked("loglikelihood", *texts))
    with quiet():
        assert ours == [(pytest.approx(value, abs=1e-3), greedy) for value, greedy in theirs.loglikelihood(asked("loglikelihood", *texts))]


def test_rolling_likelihoods_are_the_harness_own(talker, theirs, loaded, monkeypatch):
    monkeypatch.setattr(loaded.model.config, "max_position_embeddings", 8)
    requests = asked("loglikelihood_rolling", ("the water is hot and the man is old but the word was good",), ("one",))
    with quiet():
        assert HarnessModel(talker).loglikelihood_rolling(requests) == pytest.approx(theirs.loglikelihood_rolling(requests), abs=1e-3)


def test_answers_are_the_harness_own(talker, theirs):
    settings = {"until": ["e"], "max_gen_toks": 12, "do_sample": False}
    requests = asked("generate_until", ("the water is", settings), ("many words of the man", settings), ("so", {**settings, "until": []}))
    with quiet():
        assert HarnessModel(talker).generate_until(requests) == theirs.generate_until(requests)


def test_conversations_are_rendered_as_in_the_harness_and_as_in_training(talker, theirs):
    turns = [("system", "be good"), ("user", "one"), ("assistant", "two"), ("user", "three")]
    history = [{"role": role, "content": content} for role, content in turns]
    begun = [*history, {"role": "assistant", "content": "Here is it:\n"}]
    ours = HarnessModel(talker, chat=True)
    assert ours.apply_chat_template(history) == theirs.apply_chat_template(history)
    assert ours.apply_chat_template(begun, add_generation_prompt=False) == theirs.apply_chat_template(history) + "Here is it:\n"


def test_a_plain_template_has_a_space_before_the_answer(loaded, request):
    model = HarnessModel(Talker(loaded.model, loaded.tokenizer, "alpaca", request.node.name), chat=True)
    text = model.apply_chat_template([{"role": "user", "content": "one"}])
    assert text.endswith("### Instruction:\none \n\n### Response:")
    context, continuation = model._encode_pair(text, "A")
    assert loaded.tokenizer.decode(continuation) == " A"
    assert model._encode_pair(text, " A") == (context, continuation)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("name", ["gsm8k", "pubmedqa"])
def test_results_are_the_harness_own(name, chat, talker, theirs, tmp_path):
    if name == "gsm8k":
        for split, rows in (("train", GSM8K[:4]), ("test", GSM8K[2:])):
            (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        (tmp_path / "test.json").write_text(json.dumps(PUBMEDQA))
    tasks = built(Order(name, [name], FOLDER / name, str(tmp_path), shots=2 if name == "gsm8k" else None))
    rows = scored(tasks, talker, chat, limit=3)
    with quiet():
        few = TaskManager(include_path=str(FOLDER / name), include_defaults=False)  # all would take ten seconds
        settings = {"limit": 3, "bootstrap_iters": 0, "apply_chat_template": chat, "fewshot_as_multiturn": chat}
        results = simple_evaluate(theirs, tasks=list(tasks.values()), task_manager=few, **settings)
    own = {key: value for key, value in results["results"][name].items() if "," in key and "stderr" not in key}
    assert {key: sum(row.values[key] for row in rows) / 3 for key in own} == pytest.approx(own)
    samples = {sample["doc_id"]: sample for sample in results["samples"][name]}
    with quiet():
        for instance in next(iter(tasks.values())).instances:
            assert instance.args[0] == samples[instance.doc_id]["arguments"][0][0]
    assert [row.row for row in rows] == [f"{name}/{place}" for place in range(3)]


def test_a_task_that_draws_its_answers_is_refused(talker):
    with pytest.raises(RecipeError, match=r"^task: wants answers drawn at random"):
        HarnessModel(talker).generate_until(asked("generate_until", ("the", {"until": ["x"], "do_sample": True, "temperature": 0.8})))
