"""The probe `canaries`: what a model has kept of the canaries, over the rounds, from the recipe alone."""

from __future__ import annotations

import pytest

import fedloom
from fedloom.auditing import audit_privacy
from fedloom.errors import RecipeError
from fedloom.federation.run_folder import RunFolder

ONE = {"clients": 1, "per_round": 1, "quorum": 1, "data.partition": {"kind": "iid"}, "data.held_out": 0.7, "evaluate.samples": 0}
PROBED = ONE | {"evaluate.probes": [{"kind": "canaries"}], "prepare": [{"kind": "canaries", "count": 40}], "evaluate.baselines": ["base"]}


def test_the_measures_rise_with_training_and_end_where_the_audit_does(tmp_path):
    steps = {"rounds": 2, "task.steps": 35, "task.learning_rate": 1e-2, "task.schedule": "constant", "evaluate.every": 1}
    run = fedloom.run("tiny", tmp_path / "run", **PROBED | steps)
    values = {(one["name"], one["round"]): one["value"] for one in RunFolder(run.folder).metrics() if one["name"].startswith("probe/")}
    assert values["probe/base/canary_auc", 0] == 0.5
    assert values["probe/base/epsilon_lower", 0] == 0
    assert values["probe/federated/canary_auc", 2] > max(0.7, values["probe/federated/canary_auc", 1])
    found = audit_privacy(run.folder, samples=0)
    assert found["exposure"]["mean"] == pytest.approx(values["probe/federated/exposure", 2], abs=1e-6)
    assert found["epsilon_lower"] == pytest.approx(values["probe/federated/epsilon_lower", 2], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prepare": []}, r"canaries measures what the prepare step canaries inserts; add \{kind: canaries\} to prepare"),
        ({"model.adapter": None}, "canaries compares with the base model, which whole models do not keep"),
    ],
)
def test_a_run_without_canaries_or_without_a_base_is_refused_before_training(settings, said, tmp_path):
    with pytest.raises(RecipeError, match=said):
        fedloom.run("tiny", tmp_path / "run", **PROBED | settings)
    assert not (tmp_path / "run" / "adapter").exists()
