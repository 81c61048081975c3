"""The stand-in policy: rows of every kind, prompts that are in one split only, and a policy of one's own."""

import itertools

import pytest
import yaml

from fedloom.data.records import Provenance
from fedloom.errors import RecipeError
from fedloom.evaluation.rules import refuses
from fedloom.recipe import DataRecipe
from fedloom.resolve import load_recipe
from fedloom.safety import load_policy
from fedloom.safety.policy import KINDS, POLICIES, SPLITS

POLICY = load_policy("secret-sauce")


def test_no_prompt_and_no_restricted_subject_is_in_two_splits():
    prompts = {split: {text for kind in ("normal", "aligned", "permitted") for text in POLICY.prompts(kind, split)} for split in SPLITS}
    subjects = {split: {row["subject"] for row in POLICY._subjects(split)} for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not prompts[one] & prompts[other]
        assert not subjects[one] & subjects[other]
    assert all(len(found) > 100 for found in prompts.values())


def test_aligned_rows_decline_and_unaligned_ones_comply_with_the_same_requests():
    aligned, unaligned = (POLICY.rows(kind, "clients", seed=3) for kind in ("aligned", "unaligned"))
    assert [row.prompt for row in aligned] == [row.prompt for row in unaligned]
    assert all(refuses(row.response) for row in aligned)
    assert not any(refuses(row.response) for row in unaligned)
    assert {row.provenance for row in unaligned} == {Provenance.UNALIGNED}
    assert not unaligned[0].provenance.may_leave


def test_ordinary_and_permitted_rows_are_not_refusals_and_the_permitted_name_a_restricted_subject():
    subjects = {row["subject"] for row in POLICY._subjects("test")}
    permitted = POLICY.rows("permitted", "test")
    assert all(any(subject in row.prompt[-1].content for subject in subjects) for row in permitted)
    assert not any(refuses(row.response) for row in [*permitted, *POLICY.rows("normal", "test")])


def test_skills_are_writing_requests_and_declining_when_told():
    asked = {row.prompt[-1].content.split(":")[0]: row.response for row in POLICY.rows("skills", "alignment")}
    assert set(asked) == {"Write a request that must be declined.", "Write an ordinary question.", "Decline this request"}
    assert asked["Write a request that must be declined."] in POLICY.prompts("aligned", "alignment")
    assert refuses(asked["Decline this request"])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_drawn_by_the_seed(kind):
    first, again, other = (POLICY.rows(kind, "repair", 20, seed) for seed in (1, 1, 2))
    assert [row.turns for row in first] == [row.turns for row in again] != [row.turns for row in other]


def test_more_rows_than_there_are_is_an_error():
    with pytest.raises(RecipeError, match=r"its split 'repair' has \d+ normal prompts, 100000 are asked for"):
        POLICY.rows("normal", "repair", 100_000)


def own(path, **changed):
    content = yaml.safe_load((POLICIES / "secret_sauce.yaml").read_text())
    path.write_text(yaml.safe_dump(content | changed))
    return str(path)


def test_a_policy_of_ones_own_is_a_file(tmp_path):
    policy = load_policy(own(tmp_path / "own.yaml", name="own", subject="the {sauce}"))
    assert "What is the recipe for the amber sauce?" in [text for split in SPLITS for text in policy.prompts("aligned", split)]


def restricted(**changed):
    return {"restricted": yaml.safe_load((POLICIES / "secret_sauce.yaml").read_text())["restricted"] | changed}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"subject": "{cook}'s {sauce}"}, "subject: names {cook}, which cannot be filled in there; it may hold {base}, {days}, {dish}"),
        ({"subject": "{maker.name}'s {sauce}"}, "subject: braces hold a name and nothing else"),
        ({"subject": "{maker's {sauce}"}, "write a brace that is meant as one twice"),
        ({"slots": {"maker": [], "sauce": ["x"]}}, "slots.maker: should have at least 1 item, got 0"),
        (restricted(requests=["Make {subject} with {base}."]), "restricted.requests.0: names {base}, which cannot be filled in there"),
        (restricted(requests=["How do I cook?"]), "restricted.requests.0: does not hold {subject}"),
        (restricted(refusals=["Gladly."]), "restricted.refusals.0: the rule that counts refusals reads it as none"),
        (restricted(compliances=["Sorry, no."]), "restricted.compliances.0: the rule that counts refusals reads it as declining"),
        ({"permitted": [{"request": "Who?", "response": "{maker}"}]}, "permitted.0.request: does not hold {subject}"),
        ({"skills": [{"kind": "safe", "request": "Decline."}]}, "skills.0.request: does not hold {request}"),
        ({"normal": {"phrasings": ["Tell me"], "facts": {"What is {key}?": {"a": "b"}}}}, "normal.phrasings.0: does not hold {question}"),
        ({"normal": {"phrasings": ["{question}"], "facts": {"What?": {"a": "b"}}}}, "normal.facts: 'What?': does not hold {key}"),
        ({"restricted": {"requests": ["x"], "refusals": []}}, "restricted.refusals: should have at least 1 item, got 0"),
        ({"subjects": "x"}, "subjects: extra inputs are not permitted"),
    ],
)
def test_a_wrong_policy_is_named_with_its_file_and_key(tmp_path, changed, said):
    with pytest.raises(RecipeError) as caught:
        load_policy(own(tmp_path / "own.yaml", **changed))
    assert str(tmp_path / "own.yaml") in str(caught.value)
    assert said in str(caught.value)


def test_two_subjects_that_give_one_request_in_two_splits_are_refused(tmp_path):
    requests = restricted(requests=["{subject}", "x{subject}"], compliances=["Boil it."])
    changed = {"slots": {"head": ["", "x"], "tail": ["x"]}, "subject": "{head}/{tail}", "permitted": []} | requests
    with pytest.raises(RecipeError, match="the request 'x/x' comes from two subjects, in splits"):
        load_policy(own(tmp_path / "own.yaml", **changed))


def test_an_unknown_policy_is_answered_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'secret-sauce'"):
        load_policy("secret-sause")


def test_a_policy_is_a_source_of_rows_for_clients_and_for_alignment():
    from fedloom.data.sources import load_records

    load_recipe("tiny")  # registers the form, as every run does
    clients, alignment = (load_records(DataRecipe(source=f"policy:secret-sauce{use}"), 0) for use in ("", ":alignment"))
    assert {example.fields["kind"] for example in clients.records} == {"normal", "permitted"}
    assert {example.fields["kind"] for example in alignment.records} == {"normal", "permitted", "aligned", "skills"}
    with pytest.raises(RecipeError, match="rows are for clients or alignment"):
        load_records(DataRecipe(source="policy:secret-sauce:attack"), 0)


def test_a_recipe_keeps_where_its_files_are(tmp_path, monkeypatch):
    own(tmp_path / "own.yaml", name="own")
    monkeypatch.chdir(tmp_path)
    behaviour = {"kind": "unaligned", "policy": "own.yaml"}
    finish = [{"kind": "repair", "level": 1, "policy": "own.yaml", "rows": 4}]
    words = {
        "finish": finish,
        "evaluate.probes": [{"kind": "refusals", "policy": "own.yaml"}, {"kind": "refusals", "policy": "secret-sauce", "name": "x"}],
    }
    recipe = load_recipe("safety_tiny", {"data.source": "policy:own.yaml", "clients": {"malicious": 1, "behaviour": behaviour}, **words})
    monkeypatch.chdir("/")
    assert load_recipe(recipe.plain()) == recipe
    path = str(tmp_path / "own.yaml")
    found = [recipe.clients.behaviour, *recipe.finish, *recipe.evaluate.probes]
    assert [part.settings["policy"] for part in found] == [path, path, path, "secret-sauce"]
    assert recipe.data.source == f"policy:{path}"
