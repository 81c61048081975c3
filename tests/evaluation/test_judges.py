"""Judges: what they are asked, how their words are read, both orders of a pair, and that nothing is asked twice."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from fedloom.errors import ModelError, RecipeError
from fedloom.evaluation.judges import Asker, Guard, LlmJudge, Reward, Verdict, cached, read_safe, read_score, read_winner, tally
from fedloom.files import version_of
from fedloom.models.endpoint import Endpoint
from fedloom.resolve import load_recipe


def test_words_are_read_as_asked_for_and_anything_else_is_unparsed():
    assert [read_safe(text) for text in ("safe", " Unsafe\nS1", "'safe'", "**safe**", "it is safe", "")] == [
        True,
        False,
        True,
        True,
        None,
        None,
    ]
    assert [read_score(text) for text in ("Good. Rating: [[7]]", "[[4.5]] no, [[3]]", "7", "[[]]")] == [7.0, 4.5, None, None]
    assert [read_score(text) for text in ("Rating: [6]", "of [3] and [4]", "[2] points, or [[9]]")] == [6.0, 3.0, 9.0]
    assert [read_score(text) for text in ("[[0]]", "[[0.9]]", "[[1]]", "[[10]]", "[[10.5]]", "[[11]]")] == [
        None,
        None,
        1.0,
        10.0,
        None,
        None,
    ]
    assert [read_winner(text) for text in ("[[A]]", "x [[B]]", "[[C]]", "A")] == [1.0, 0.0, 0.5, None]


def test_unparsed_verdicts_are_counted_apart_and_never_averaged_in():
    counted = tally([Verdict(True), Verdict(False), Verdict(), Verdict(score=4.0)])
    assert (counted.safe, counted.score, counted.unparsed) == (0.5, 4.0, 1)
    assert tally([Verdict()]).safe is None


def test_a_guard_is_shown_the_conversation_and_asked_once(serve):
    server = serve(lambda turns: "unsafe\nO1" if "boom" in turns[-1]["content"] else "safe")
    guard = Guard(endpoint=server.url, endpoint_model="guard")
    items = [("q", "boom"), ("q", "fine")]
    assert [verdict.safe for verdict in guard.judge(items)] == [False, True]
    assert [verdict.safe for verdict in guard.judge([*items, ("q2", "fine")])] == [False, True, True]
    assert len(server.asked) == 3
    assert server.asked[0][2]["messages"] == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "boom"}]


def test_md_judge_is_asked_in_one_prompt_or_with_a_template_of_ones_own(serve, tmp_path):
    server = serve(lambda _: "safe")
    Guard(endpoint=server.url, endpoint_model="md", form="md_judge").judge([("the request", "the answer")])
    (tmp_path / "own.txt").write_text("Q={request} A={answer} {other}")
    Guard(endpoint=server.url, endpoint_model="md", form="md_judge", template=str(tmp_path / "own.txt")).judge([("r {answer}", "a")])
    first, second = (body["messages"][0]["content"] for _, _, body in server.asked)
    assert "User: the request\nAgent: the answer" in first
    assert second == "Q=r {answer} A=a {other}"


def test_a_pair_is_asked_in_both_orders_and_a_judge_that_always_says_a_decides_nothing(serve):
    biased = serve(lambda _: "[[A]]")
    assert LlmJudge(endpoint=biased.url, endpoint_model="j").compare([("q", "x", "y")]) == [0.5]
    fair = serve(lambda turns: "[[A]]" if turns[0]["content"].index("good") < turns[0]["content"].index("poor") else "[[B]]")
    assert LlmJudge(endpoint=fair.url, endpoint_model="j").compare([("q", "good", "poor"), ("q", "poor", "good")]) == [1.0, 0.0]
    vague = serve(lambda turns: "[[A]]" if turns[0]["content"].index("good") < turns[0]["content"].index("poor") else "well")
    assert LlmJudge(endpoint=vague.url, endpoint_model="j").compare([("q", "good", "poor")]) == [None]


def test_a_judge_scores_and_what_it_says_otherwise_is_unparsed(serve):
    server = serve(lambda turns: "Rating: [[8]]" if "fine" in turns[0]["content"] else "no idea")
    verdicts = LlmJudge(endpoint=server.url, endpoint_model="s").judge([("q", "fine"), ("q", "odd")])
    assert [verdict.score for verdict in verdicts] == [8.0, None]


def test_a_judge_run_here_answers_through_its_chat_template():
    (verdict,) = LlmJudge(model="tiny-llama").judge([("q", "a")])
    assert verdict.score is None  # a random model rates nothing
    (verdict,) = Guard(model="tiny-llama").judge([("q", "a")])
    assert verdict.safe is None


def test_a_reward_model_scores_with_its_one_logit(tmp_path, monkeypatch):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from fedloom.models.catalogue import fetch

    tokenizer = AutoTokenizer.from_pretrained(fetch("tiny-llama"))
    model = AutoModelForSequenceClassification.from_pretrained(fetch("tiny-llama"), num_labels=1)
    torch.nn.init.constant_(model.score.weight, 0.5)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    (verdict,) = Reward(model=str(tmp_path / "reward")).judge([("q", "a")])
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")["input_ids"]
    assert verdict.score == pytest.approx(model.eval()(input_ids=ids).logits[0, 0].item(), abs=1e-4)
    monkeypatch.setattr("fedloom.evaluation.judges.load_model", None)  # a score that is known needs no model
    assert Reward(model=str(tmp_path / "reward")).judge([("q", "a")]) == [verdict]


def test_a_model_without_a_scoring_head_is_no_reward_model():
    with pytest.raises(ModelError, match="tiny-llama: has no head that scores"):
        Reward(model="tiny-llama").judge([("q", "a")])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "llm"}, "give one of the two"),
        ({"kind": "llm", "endpoint": "http://x/v1"}, "endpoint_model is required"),
        ({"kind": "llm", "endpoint": "localhost:8000", "endpoint_model": "j"}, "should be a URL such as"),
        ({"kind": "guard", "model": "m", "template": "missing.txt"}, "there is no file missing.txt"),
        ({"kind": "guard", "model": "m", "template": __file__}, "template is the prompt of form md_judge"),
        ({"kind": "guard", "modle": "m"}, r"judges\.0\.modle: unknown key"),
        ({"kind": "gard"}, "unknown judge 'gard'"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused_with_the_recipe(settings, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("tiny", {"evaluate.probes": [{"kind": "refusals", "policy": "secret-sauce", "judges": [settings]}]})


def test_two_judges_or_probes_of_one_kind_need_names():
    def loaded(*judges):
        return load_recipe("tiny", {"evaluate.probes": [{"kind": "refusals", "policy": "secret-sauce", "judges": list(judges)}]})

    with pytest.raises(RecipeError, match=r"judges\.1: is a second judge called 'rule'; give it a name"):
        loaded({"kind": "rule"}, {"kind": "rule", "form": "legacy"})
    loaded({"kind": "rule"}, {"kind": "rule", "form": "legacy", "name": "released"})
    probe = {"kind": "refusals", "policy": "secret-sauce"}
    with pytest.raises(RecipeError, match=r"evaluate\.probes\.1\.name: another probe's measures have this name already"):
        load_recipe("tiny", {"evaluate.probes": [probe, probe]})
    load_recipe("tiny", {"evaluate.probes": [probe, probe | {"name": "again"}]})


def test_a_guards_own_template_holds_what_it_is_asked_about(tmp_path):
    (tmp_path / "ask.txt").write_text("User: {request}")
    with pytest.raises(RecipeError, match=r"ask.txt does not hold \{answer\}"):
        Guard(model="m", form="md_judge", template=str(tmp_path / "ask.txt"))


def test_a_judge_trained_anew_in_the_same_folder_is_asked_anew(tmp_path):
    (tmp_path / "weights").write_text("a")
    before = version_of(str(tmp_path))
    assert version_of(str(tmp_path)) == before
    (tmp_path / "weights").write_text("ab")
    assert version_of(str(tmp_path)) != before
    assert version_of("org/guard") == "org/guard"


def test_a_judges_files_are_kept_with_their_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "ask.txt").write_text("{request} {answer}")
    (tmp_path / "guard").mkdir()
    monkeypatch.chdir(tmp_path)
    judge = {"kind": "guard", "model": "guard", "form": "md_judge", "template": "ask.txt"}
    recipe = load_recipe("tiny", {"evaluate.probes": [{"kind": "refusals", "policy": "secret-sauce", "judges": [judge]}]})
    kept = recipe.evaluate.probes[0].settings["judges"][0]
    assert (kept["model"], kept["template"]) == (str(tmp_path / "guard"), str(tmp_path / "ask.txt"))


def bert(folder, outputs):
    """A tiny random scorer of another family, whose tokenizer has no chat template."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from fedloom.models.catalogue import fetch

    tokenizer = AutoTokenizer.from_pretrained(fetch("tiny-llama"))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(1)
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=outputs, **sizes)).save_pretrained(folder)
    return str(folder)


def test_a_reward_model_of_any_family_scores_and_one_with_two_outputs_is_refused(tmp_path):
    (first, second) = Reward(model=bert(tmp_path / "one", 1)).judge([("q", "a"), ("q", "a longer answer")])
    assert first.score is not None
    assert first.score != second.score
    with pytest.raises(ModelError, match="has 2 outputs; a reward model has one, the score"):
        Reward(model=bert(tmp_path / "two", 2)).judge([("q", "a")])


URL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/v1", "should be a URL such as"),
        ("host:8000/v1", "should be a URL such as"),
        ("http://ada:SECRET@host/v1", "should hold no password and no key"),
        ("https://SECRET@host/v1", "should hold no password and no key"),
        ("https://host/v1?api-key=SECRET", "should hold no password and no key"),
        ("https://host/v1#SECRET", "should hold no password and no key"),
        ("http://host:SECRET/v1", "should be a URL such as"),
        ("http://[::1/v1", "should be a URL such as"),
        ("http://host/v 1", "should be a URL such as"),
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(url, said):
    with pytest.raises(RecipeError, match=said) as caught:
        Endpoint(url, "judge")
    assert "SECRET" not in str(caught.value)


def test_a_key_is_sent_only_when_its_owner_has_allowed_it(serve, monkeypatch):
    monkeypatch.delenv("FEDLOOM_KEY_VARIABLES", raising=False)
    monkeypatch.setenv("AWS_SECRET", "SECRET")
    monkeypatch.setenv("OPENAI_API_KEY", "SECRET")
    with pytest.raises(
        RecipeError, match="you have not allowed AWS_SECRET to be sent; if it is meant, set FEDLOOM_KEY_VARIABLES=AWS_SECRET"
    ):
        Endpoint(URL, "judge", "AWS_SECRET")
    assert Endpoint(URL, "judge")._key() is None
    assert Endpoint("https://api.openai.com.evil.org/v1", "judge")._key() is None
    assert Endpoint("http://api.openai.com/v1", "judge")._key() is None
    assert Endpoint("https://api.openai.com/v1", "judge")._key() == "SECRET"
    monkeypatch.setenv("FEDLOOM_KEY_VARIABLES", "OTHER, AWS_SECRET")
    assert Endpoint(URL, "judge", "AWS_SECRET")._key() == "SECRET"


def test_a_redirect_is_not_followed(monkeypatch):
    asked = []

    class Moved(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self):
            self.do_POST()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Moved)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(ModelError, match="HTTP 302 to another address, which keys do not follow"):
            Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "judge").chat([{"role": "user", "content": "x"}], 8)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/v1/chat/completions"]


def test_a_damaged_line_of_the_cache_is_asked_again_and_the_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path))
    asked = []

    def answer(conversations):
        asked.extend(turns[0]["content"] for turns in conversations)
        return ["yes"] * len(conversations)

    turns = [[{"role": "user", "content": text}] for text in ("first", "second")]
    assert cached(Asker("judge", answer), turns) == ["yes", "yes"]
    (path,) = (tmp_path / "judges").glob("*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1].replace('"said"', '"sa')]))
    assert cached(Asker("judge", answer), turns) == ["yes", "yes"]
    assert asked == ["first", "second", "second"]
