"""MT-Bench: two turns, reference answers where they guide the judge, and what becomes of a judge's prose."""

import json

import pytest
from scripted import ScriptedTalker, judge, quiet, rows_file, summary

from fedloom.errors import DataError, RecipeError
from fedloom.evaluation.suites.mt_bench import MtBench

QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["Write a poem.", "Make it shorter."], "reference": ["never shown"]},
    {"question_id": 111, "category": "math", "turns": ["2 + 2?", "And doubled?"], "reference": ["four", "eight"]},
    {"question_id": 121, "category": "coding", "turns": ["Sort a list.", "Backwards."], "reference": ["sorted(x)"]},
]


@pytest.fixture
def questions(tmp_path):
    return rows_file(tmp_path / "question.jsonl", QUESTIONS)


def answered(turns):
    return f"answer to <{turns[-1][1]}>"


def test_the_second_turn_is_asked_after_the_models_own_first_answer(questions, serve):
    talker = ScriptedTalker(answered)
    MtBench(data=questions, judge=judge(serve(lambda _: "[[5]]"))).score(talker, quiet)
    assert talker.asked[0] == [("user", "Write a poem.")]
    assert talker.asked[3] == [("user", "Write a poem."), ("assistant", "answer to <Write a poem.>"), ("user", "Make it shorter.")]


def test_the_judge_is_shown_references_to_math_reasoning_and_coding_where_they_are_there(questions, serve):
    server = serve(lambda _: "[[5]]")
    MtBench(data=questions, judge=judge(server)).score(ScriptedTalker(answered), quiet)
    asked = [body["messages"][0]["content"] for _, _, body in server.asked]
    guided = ["Reference" in text or "reference" in text for text in asked]
    assert guided == [False, False, True, True, True, False]  # the second reference of the coding question is missing
    assert "never shown" not in "".join(asked)
    assert "[Second reference answer]\neight" in asked[3]
    assert "[Second answer]\nanswer to <And doubled?>" in asked[3]
    assert "[Reference answer]\nsorted(x)" in asked[4]


def test_reference_answers_of_fastchats_file_are_shown_in_the_guided_categories_alone(tmp_path, serve):
    categories = ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
    questions = [{"question_id": n, "category": name, "turns": [f"{name}?", "More?"]} for n, name in enumerate(categories)]
    answers = [{"question_id": n, "choices": [{"index": 0, "turns": [f"right {n}", f"again {n}"]}]} for n in range(len(categories))]
    file = rows_file(tmp_path / "gpt-4.jsonl", answers)
    server = serve(lambda _: "[[5]]")
    suite = MtBench(data=rows_file(tmp_path / "question.jsonl", questions), judge=judge(server), references=file)
    suite.check()
    suite.score(ScriptedTalker(answered), quiet)
    asked = [body["messages"][0]["content"] for _, _, body in server.asked]
    shown = {categories[place // 2] for place, text in enumerate(asked) if "right" in text.replace("rightly", "").replace("right,", "")}
    assert shown == {"reasoning", "math", "coding"}
    assert "[Reference answer]\nright 3" in asked[6]
    assert "[First reference answer]\nright 3" in asked[7]
    assert "[Second reference answer]\nagain 3" in asked[7]
    assert server.asked[0][2]["max_tokens"] == 2048
    assert "references_sha256" in suite.described()
    rows_file(tmp_path / "gpt-4.jsonl", answers[:4])
    with pytest.raises(DataError, match=r"^mt_bench\.references: .*gpt-4\.jsonl has no two answers to question 4; expected FastChat's"):
        suite.check()


def test_scores_are_means_over_verdicts_and_prose_is_counted_apart(questions, serve):
    said = {"Write a poem.": "[[4]]", "Make it shorter.": "It is fine.", "2 + 2?": "Rating: [[9]]", "And doubled?": "[[7]]"}
    server = serve(lambda turns: next((verdict for asked, verdict in said.items() if f"<{asked}>" in last(turns)), "no rating at all"))
    suite = MtBench(data=questions, judge=judge(server))
    rows = suite.score(ScriptedTalker(answered), quiet)
    assert [(row.row, row.group) for row in rows] == [("81", "writing"), ("111", "math"), ("121", "coding")]
    assert rows[0].values == {"score": 4.0, "turn_1": 4.0, "unparsed": 1.0}
    assert rows[1].values == {"score": 8.0, "turn_1": 9.0, "turn_2": 7.0, "unparsed": 0.0}
    found = summary(suite, rows)
    assert found == {"score": pytest.approx(20 / 3), "turn_1": 6.5, "turn_2": 7.0, "unparsed": 3.0}


def last(turns):
    """The answer that a judge is asked about: the last part of its prompt."""
    return turns[-1]["content"].rpartition("answer]\n")[2] or turns[-1]["content"].rpartition("Answer]\n")[2]


def test_a_second_judges_agreement_is_measured_on_the_verdicts_that_both_gave(questions, serve):
    marks = {"Write a poem.": (4, 5), "Make it shorter.": (6, 9), "2 + 2?": (9, 9), "And doubled?": (7, None), "Sort a list.": (2, 1)}

    def verdicts(which):
        def said(turns):
            found = next((pair[which] for asked, pair in marks.items() if turns[-1]["content"].rstrip().endswith(f"<{asked}>")), None)
            return "prose" if found is None else f"[[{found}]]"

        return said

    first, second = serve(verdicts(0)), serve(verdicts(1))
    suite = MtBench(data=questions, judge=judge(first), second_judge=judge(second))
    found = summary(suite, suite.score(ScriptedTalker(answered), quiet))
    assert found["agreement"] == 0.75  # 4-5, 9-9 and 2-1 are within a point, 6-9 is not
    assert found["correlation"] == pytest.approx(0.9486832980505138)  # ranks 2 3 4 1 and 2 3.5 3.5 1
    assert (found["unparsed"], found["second_unparsed"]) == (1.0, 2.0)


def test_fastchats_own_prompts_are_asked_from_its_file(questions, tmp_path, serve):
    names = ("single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn")
    texts = ("Q {question} A {answer}", "R {ref_answer_1} A {answer}", "Q2 {question_2} A2 {answer_2}", "R2 {ref_answer_2} A2 {answer_2}")
    prompts = [{"name": name, "system_prompt": "be fair", "prompt_template": text} for name, text in zip(names, texts, strict=True)]
    file = rows_file(tmp_path / "judge_prompts.jsonl", prompts)
    server = serve(lambda _: "[[5]]")
    suite = MtBench(data=questions, judge=judge(server), prompts=file)
    suite.check()
    suite.score(ScriptedTalker(answered), quiet)
    assert server.asked[0][2]["messages"][0] == {"role": "system", "content": "be fair"}
    assert [body["messages"][1]["content"] for _, _, body in server.asked[:4]] == [
        "Q Write a poem. A answer to <Write a poem.>",
        "Q2 Make it shorter. A2 answer to <Make it shorter.>",
        "R four A answer to <2 + 2?>",
        "R2 eight A2 answer to <And doubled?>",
    ]
    assert "prompts_sha256" in suite.described()
    rows_file(tmp_path / "judge_prompts.jsonl", prompts[:2])
    with pytest.raises(RecipeError, match=r"mt_bench\.prompts: .* has no prompt single-v1-multi-turn; expected FastChat's judge_prompts"):
        suite.check()


def test_a_file_of_another_version_is_named_by_its_hash(tmp_path):
    local = {"kind": "llm", "model": "tiny-llama"}
    file = rows_file(tmp_path / "old.jsonl", [{"question_id": 1, "text": "Hello?", "category": "generic"}])
    with pytest.raises(
        DataError, match=r"old\.jsonl:1: has no column 'turns' but question_id, text, category; expected FastChat's .*sha256 [0-9a-f]{12}$"
    ):
        MtBench(data=file, judge=local).check()
    file = rows_file(tmp_path / "vicuna.jsonl", [{"question_id": 1, "category": "generic", "turns": ["Hello?"]}])
    with pytest.raises(DataError, match="has 1 turns, and MT-Bench asks two"):
        MtBench(data=file, judge=local).check()
    with pytest.raises(RecipeError, match=r"mt_bench\.data: there is no file gone\.jsonl; it should be your copy of FastChat's question"):
        MtBench(data="gone.jsonl", judge=local).check()


def test_the_judge_has_to_be_a_language_model():
    with pytest.raises(RecipeError, match=r"mt_bench\.judge\.kind: should be llm, a language model that scores and compares, got 'rule'"):
        MtBench(data="x", judge={"kind": "rule"})
    with pytest.raises(RecipeError, match=r"mt_bench\.second_judge: judge llm: is asked by model \(run here\) or at an endpoint"):
        MtBench(data="x", judge={"kind": "llm", "model": "m"}, second_judge={"kind": "llm"})
    with pytest.raises(RecipeError, match=r"mt_bench\.judge\.modle: unknown key; did you mean 'model'"):
        MtBench(data="x", judge={"kind": "llm", "modle": "m"})


def test_what_decides_the_verdicts_is_described(questions):
    found = MtBench(data=questions, judge={"kind": "llm", "model": "tiny-llama"}).described()
    assert json.dumps(found)
    assert found["judge"]["name"] == "tiny-llama"
    assert len(found["judge"]["sha256"]) == len(found["sha256"]) == 64
