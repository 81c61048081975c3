"""`fedloom run` and `fedloom resume`: what they print, what they leave on disk, and the folders that they refuse."""

from __future__ import annotations

import json
import time

import torch
from commands import QUICK, error_line, fedloom, result, started, wait_for
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from fedloom.files import read_lines, sha256_of
from fedloom.hash_chain import verify

PROMPT = torch.tensor([[5, 9, 14, 21]])


def test_standard_output_is_one_json_object_and_progress_is_on_standard_error(finished):
    folder, done = finished
    assert len(done.stdout.splitlines()) == 1
    facts = json.loads(done.stdout)
    assert list(facts) == ["run", "status", "rounds", "adapter_sha256", "metrics", "traffic_bytes", "seconds"]
    assert (facts["run"], facts["status"], facts["rounds"]) == ("finished", "finished", 2)
    assert facts["adapter_sha256"] == sha256_of(folder / "adapter" / "adapter_model.safetensors")
    assert set(facts["metrics"]) == {
        f"{system}/{measure}" for system in ("base", "federated") for measure in ("loss", "exact_match", "perplexity")
    } | {"majority/exact_match"}
    assert facts["metrics"]["federated/loss"] < facts["metrics"]["base/loss"]
    assert facts["traffic_bytes"] == sum(line["bytes"] for line in read_lines(folder / "wire.jsonl"))
    assert 0 < facts["seconds"] < 120
    assert "round 2: loss" in done.stderr
    assert "round 2 measured: exact match " in done.stderr


def test_the_run_folder_holds_what_is_promised(finished):
    folder, _ = finished
    for name in ("recipe.yaml", "manifest.json", "metrics.jsonl", "wire.jsonl", "audit.jsonl", "samples.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"round-00001.checkpoint", "round-00002.checkpoint"}
    assert all(set(event) == {"round", "client", "name", "value"} for event in read_lines(folder / "metrics.jsonl"))
    assert verify(folder / "audit.jsonl").entries == 4
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["data"]["origin"] == "tiny-demo"
    assert not list(folder.rglob("*.tmp"))


def test_the_adapter_loads_with_plain_peft(finished, home):
    folder, _ = finished
    base = AutoModelForCausalLM.from_pretrained(home / "models" / "tiny-llama").eval()
    with torch.no_grad():
        before = base(PROMPT).logits.clone()
        tuned = PeftModel.from_pretrained(base, folder / "adapter").eval()
        assert not torch.equal(tuned(PROMPT).logits, before)
    tensors = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in _lora(tuned).items())


def test_without_json_the_results_are_a_table_and_the_next_steps(desk):
    done = fedloom("run", "tiny", *QUICK, "--out", "plain", cwd=desk)
    assert done.returncode == 0
    assert "Held-out results" in done.stdout
    assert done.stdout.splitlines()[-3:] == ["adapter  plain/adapter", "report   plain/report.html", "chat     fedloom chat plain"]


def test_resuming_a_finished_run_gives_the_same_object_and_changes_nothing(finished, desk):
    folder, done = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    begin = time.monotonic()
    again = fedloom("resume", "finished", "--json", cwd=desk)
    assert result(again) == json.loads(done.stdout)
    assert time.monotonic() - begin < 30
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_resuming_a_folder_that_is_no_run_is_refused(desk):
    (desk / "no-run").mkdir()
    for name in ("no-run", "nowhere"):
        done = fedloom("resume", name, "--json", cwd=desk)
        assert done.returncode == 2
        assert error_line(done.stderr) == f"error: {name}: is not a run folder (it has no recipe.yaml)"
        assert done.stdout == ""


def test_a_run_into_the_folder_of_another_is_refused(finished, desk):
    folder, _ = finished
    before = (folder / "recipe.yaml").read_bytes()
    done = fedloom("run", "tiny", "seed=8", "--out", "finished", "--json", cwd=desk)
    assert done.returncode == 2
    assert "already holds a run; continue it with `fedloom resume finished`" in error_line(done.stderr)
    assert (folder / "recipe.yaml").read_bytes() == before


def test_a_second_run_into_a_folder_that_is_being_written_is_refused(desk):
    with started("run", "tiny", "rounds=500", "evaluate.baselines=[]", "--out", "shared", cwd=desk) as first:
        wait_for((desk / "shared" / "checkpoints").exists, first)
        resumed = fedloom("resume", "shared", cwd=desk)
        assert first.poll() is None
    assert resumed.returncode == 2
    assert error_line(resumed.stderr).startswith("error: shared: another run is writing to this folder")


def test_a_run_that_failed_before_training_leaves_its_folder_to_the_mended_recipe(desk):
    wrong = fedloom("run", "tiny", *QUICK, "data.source=nowhere.jsonl", "--out", "mended", cwd=desk)
    assert wrong.returncode == 2
    result(fedloom("run", "tiny", *QUICK, "--out", "mended", "--json", cwd=desk))


def test_a_run_below_quorum_says_in_json_how_it_stands(desk):
    done = fedloom("run", "tiny", *QUICK, "max_update_norm=1e-9", "retries=0", "--out", "below", "--json", cwd=desk)
    assert done.returncode == 3
    assert "federation.quorum is 2" in error_line(done.stderr)
    facts = json.loads(done.stdout)
    assert (facts["status"], facts["rounds"], facts["adapter_sha256"]) == ("stopped", 0, None)


def _lora(model):
    return {name.replace(".default", ""): value.detach() for name, value in model.state_dict().items() if ".lora_" in name}
