"""Every command beside run and resume, as it is typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
import torch
import yaml
from commands import QUICK, error_line, fedloom, result
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from fedloom.cli.app import app

PROMPT = torch.tensor([[5, 9, 14, 21]])
COMMANDS = [
    *("run", "resume", "validate", "chat", "export", "report", "compare", "clean"),
    *("recipes", "recipes ls", "recipes show", "recipes copy", "models", "models ls", "models get", "data", "data inspect"),
    *("sweep", "demo", "repair", "safety", "safety matrix", "bench", "bench analyse"),
]


@pytest.fixture(scope="module")
def other(desk):
    """A second run, to compare with, of the preset with all its defaults written out."""
    (desk / "full.yaml").write_text(fedloom("recipes", "show", "tiny", "--full", cwd=desk).stdout)
    result(fedloom("run", "full.yaml", *QUICK, "--out", "other", "--json", cwd=desk))
    return desk / "other"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_a_command_does(command):
    done = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="fedloom")
    assert done.exit_code == 0
    assert f"Usage: fedloom {command}" in done.output


def test_help_explains_the_arguments(desk):
    assert "A YAML file, or the name of a preset." in fedloom("run", "--help", cwd=desk).stdout


def test_a_wrong_command_points_to_the_help(desk):
    for words in (("runn",), ("run",), ("run", "tiny", "--jsn")):
        done = fedloom(*words, cwd=desk)
        assert done.returncode == 2
        assert "-h' for help" in done.stderr


def test_the_version_is_that_of_the_package(desk):
    assert fedloom("--version", cwd=desk).stdout == f"fedloom {version('fedloom')}\n"


def test_validate_says_what_a_recipe_is_and_refuses_a_wrong_one(desk):
    assert fedloom("validate", "tiny", "rounds=9", cwd=desk).stdout == "tiny: valid (sft, fedavg, 9 rounds)\n"
    wrong = fedloom("validate", "tiny", "task.stepz=9", cwd=desk)
    assert wrong.returncode == 2
    assert error_line(wrong.stderr) == "error: task.stepz: unknown key; did you mean 'steps'?"
    suite = fedloom("validate", "tiny", "evaluate.suites=[{kind: questions, source: nowhere.jsonl}]", cwd=desk)
    assert suite.returncode == 2
    assert "questions.source: " in error_line(suite.stderr)


def test_presets_are_listed_shown_and_copied(desk):
    assert "tiny" in fedloom("recipes", "ls", cwd=desk).stdout
    shown = fedloom("recipes", "show", "tiny", cwd=desk).stdout
    copied = fedloom("recipes", "copy", "tiny", "mine.yaml", cwd=desk)
    assert copied.stdout == "mine.yaml: written; run it with `fedloom run mine.yaml`\n"
    assert (desk / "mine.yaml").read_text() == shown
    again = fedloom("recipes", "copy", "tiny", "mine.yaml", cwd=desk)
    assert (again.returncode, error_line(again.stderr)) == (2, "error: mine.yaml: exists already; choose another name")


def test_a_preset_with_all_its_defaults_is_the_same_recipe(desk, other):
    full = (desk / "full.yaml").read_text()
    assert "gradient_checkpointing: false" in full
    assert fedloom("recipes", "show", "full.yaml", "--full", cwd=desk).stdout == full
    assert fedloom("recipes", "show", "tiny", "--full", cwd=desk).stdout == full


def test_models_are_listed_and_fetched(desk, home):
    assert "tiny-llama" in fedloom("models", "ls", cwd=desk).stdout
    assert fedloom("models", "get", "tiny-llama", cwd=desk).stdout == f"{home / 'models' / 'tiny-llama'}\n"
    unknown = fedloom("models", "get", "tiny-lama", cwd=desk)
    assert (unknown.returncode, error_line(unknown.stderr)) == (2, "error: unknown model 'tiny-lama'; did you mean 'tiny-llama'?")


def test_data_inspect_shows_who_holds_what(desk):
    table = fedloom("data", "inspect", "tiny", "--picture", "split.png", cwd=desk)
    assert "tiny-demo, 4 clients" in table.stdout
    assert (desk / "split.png").read_bytes().startswith(b"\x89PNG")
    facts = result(fedloom("data", "inspect", "tiny", "--json", cwd=desk))
    assert [client["client"] for client in facts["clients"]] == ["east", "north", "south", "west"]
    for picture in ("split.jpeg2", "nowhere/split.png"):
        refused = fedloom("data", "inspect", "tiny", "--picture", picture, cwd=desk)
        assert refused.returncode == 2
        assert error_line(refused.stderr).startswith(f"error: --picture {picture}: ")


def test_chat_answers_starts_over_and_ends(desk, finished):
    done = fedloom("chat", "finished", "--max-new-tokens", "6", cwd=desk, typed="color of sky?\n/new\ncolor of sky?\n\nnever asked\n")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == second, "after /new the same question has the same answer"


def test_chat_and_export_say_that_an_unfinished_run_has_no_adapter(desk):
    (desk / "begun").mkdir()
    (desk / "begun" / "recipe.yaml").write_text(fedloom("recipes", "show", "tiny", cwd=desk).stdout)
    for words in (("chat", "begun"), ("export", "begun", "out")):
        done = fedloom(*words, cwd=desk)
        assert done.returncode == 2
        assert error_line(done.stderr) == "error: begun: has no adapter yet; finish the run with `fedloom resume begun`"


def test_an_exported_adapter_and_an_exported_whole_model_answer_alike(desk, finished, home):
    folder, _ = finished
    assert fedloom("export", "finished", "adapter", cwd=desk).stdout == "adapter: written\n"
    assert fedloom("export", "finished", "whole", "--merge", cwd=desk).stdout == "whole: written\n"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (desk / "adapter" / name).read_bytes() == (folder / "adapter" / name).read_bytes()
    whole = AutoModelForCausalLM.from_pretrained(desk / "whole").eval()
    base = AutoModelForCausalLM.from_pretrained(home / "models" / "tiny-llama")
    with torch.no_grad():
        tuned = PeftModel.from_pretrained(base, desk / "adapter").eval()(PROMPT).logits
        torch.testing.assert_close(whole(PROMPT).logits, tuned, rtol=1e-4, atol=1e-4)
    found = AutoPeftModelForCausalLM.from_pretrained(desk / "adapter", local_files_only=True).eval()(PROMPT).logits
    torch.testing.assert_close(found, tuned)
    tokenizers = [AutoTokenizer.from_pretrained(desk / name) for name in ("adapter", "whole")]
    assert {one.chat_template for one in tokenizers} == {AutoTokenizer.from_pretrained(home / "models" / "tiny-llama").chat_template}
    again = fedloom("export", "finished", "whole", cwd=desk)
    assert (again.returncode, error_line(again.stderr)) == (2, "error: whole: exists already; choose another folder")


def test_an_adapter_has_what_vllm_and_llama_cpp_read(finished, home):
    """vLLM takes plain LoRA: no bias, no DoRA, no module trained whole. Both find factors by the base model's module names."""
    folder, _ = finished
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str((home / "models" / "tiny-llama").resolve())
    assert (config["peft_type"], config["bias"], config["modules_to_save"], config["use_dora"], config["use_rslora"]) == (
        *("LORA", "none", None, False, False),
    )
    assert (config["r"], config["lora_alpha"]) == (8, 16)
    modules = {name for name, _ in AutoModelForCausalLM.from_pretrained(home / "models" / "tiny-llama").named_modules()}
    names = load_file(folder / "adapter" / "adapter_model.safetensors")
    for name, tensor in names.items():
        module = name.removeprefix("base_model.model.").removesuffix(".weight")
        kind = module[-len("lora_A") :]
        assert kind in ("lora_A", "lora_B")
        assert module.removesuffix(f".{kind}") in modules
        assert tensor.shape[0 if kind == "lora_A" else 1] == 8
    assert {name.removeprefix("base_model.model.").rsplit(".", 2)[0] for name in names} == set(config["target_modules"])


def test_a_model_card_says_what_was_trained_on_what_and_what_was_measured(desk, finished):
    assert fedloom("export", "finished", "carded", cwd=desk).returncode == 0
    card = (desk / "carded" / "README.md").read_text()
    manifest = json.loads((finished[0] / "manifest.json").read_text())
    header = yaml.safe_load(card.split("---")[1])
    config = json.loads((desk / "carded" / "adapter_config.json").read_text())
    assert header["base_model"] == config["base_model_name_or_path"]
    assert header["library_name"] == "peft"
    for said in (
        "task sft, algorithm fedavg, 2 rounds, 4 clients",
        "there is no formal guarantee",
        "128 rows trained on, 32 held out",
        f"| federated | {result(finished[1])['metrics']['federated/loss']:.3f} |",
        manifest["adapter_sha256"],
        manifest["model"]["sha256"],
    ):
        assert said in card


def test_report_is_written_anew(desk, other):
    (other / "report.html").unlink()
    assert fedloom("report", "other", cwd=desk).stdout == "other/report.html\n"
    assert "<html" in (other / "report.html").read_text()


def test_compare_puts_runs_side_by_side(desk, finished, other):
    table = fedloom("compare", "finished", "other", "--picture", "both.svg", cwd=desk)
    assert "federation.rounds" in table.stdout
    assert "<svg" in (desk / "both.svg").read_text()
    done = fedloom("compare", "finished", "other", "--json", cwd=desk)
    rows = json.loads(done.stdout)
    assert [row["rounds"] for row in rows] == [2, 1]
    assert all({"exact_match", "loss"} <= row["measures"].keys() for row in rows)
    alone = fedloom("compare", "finished", cwd=desk)
    assert (alone.returncode, len(alone.stderr.splitlines())) == (2, 1)


def test_clean_removes_rows_and_with_models_the_rest(desk, tmp_path):
    for kind in ("rows", "wheels", "models"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "file").write_bytes(bytes(1000))
    kept = fedloom("clean", cwd=desk, typed="n\n", FEDLOOM_HOME=str(tmp_path))
    assert f"{tmp_path / 'rows'}: 1.0 kB" in kept.stdout
    assert len(list(tmp_path.iterdir())) == 3
    assert fedloom("clean", "--yes", cwd=desk, FEDLOOM_HOME=str(tmp_path)).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "wheels"]
    assert fedloom("clean", "--models", cwd=desk, typed="y\n", FEDLOOM_HOME=str(tmp_path)).returncode == 0
    assert not list(tmp_path.iterdir())
    assert fedloom("clean", cwd=desk, FEDLOOM_HOME=str(tmp_path)).stdout == "there is nothing to remove\n"


def test_clean_leaves_alone_what_an_unfinished_run_needs(desk, tmp_path):
    sites = tmp_path / "sites" / "aa"
    sites.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({"status": "stopped", "id": "aa"}))
    (sites / "run.json").write_text(json.dumps({"run": str(tmp_path / "run")}))
    assert fedloom("clean", "--models", "--yes", cwd=desk, FEDLOOM_HOME=str(tmp_path)).stdout == "there is nothing to remove\n"
    assert sites.is_dir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({"status": "finished", "id": "aa"}))
    (tmp_path / "run").rename(tmp_path / "moved")
    said = fedloom("clean", "--models", "--yes", cwd=desk, FEDLOOM_HOME=str(tmp_path)).stdout
    assert said.startswith(f"left alone (--missing removes it): {sites}: ")
    assert sites.is_dir()
    (tmp_path / "moved").rename(tmp_path / "run")
    assert fedloom("clean", "--yes", cwd=desk, FEDLOOM_HOME=str(tmp_path)).returncode == 0
    assert not sites.exists()
    sites.mkdir()
    assert fedloom("clean", "--missing", "--yes", cwd=desk, FEDLOOM_HOME=str(tmp_path)).returncode == 0
    assert not sites.exists()


@pytest.mark.parametrize(("shell", "words"), [("complete_bash", ["tiny"]), ("source_bash", ["complete", "-o"])])
def test_the_shell_completes_the_names_of_presets(shell, words):
    typed = {"_FEDLOOM_COMPLETE": shell, "COMP_WORDS": "fedloom run ti", "COMP_CWORD": "2"}
    script = "import os; os.environ |= " + repr(typed) + "; from fedloom.cli.app import app; app(prog_name='fedloom')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert " ".join(words) in " ".join(done.stdout.split())


def test_the_audit_log_of_a_run_is_verified_and_a_changed_line_is_named(finished, tmp_path):
    folder, _ = finished
    done = fedloom("audit", "verify", folder, cwd=tmp_path)
    last = json.loads((folder / "manifest.json").read_text())["audit_sha256"]
    said = f"{folder}/audit.jsonl: 4 entries, the chain is unbroken; the last has the hash {last[:12]}..."
    assert (done.returncode, " ".join(done.stdout.split())) == (0, said)
    found = json.loads(fedloom("audit", "verify", folder / "audit.jsonl", "--json", cwd=tmp_path).stdout)
    assert found == {"log": f"{folder}/audit.jsonl", "entries": 4, "unbroken": True, "last": last, "torn": False}
    changed = tmp_path / "changed"
    changed.mkdir()
    lines = (folder / "audit.jsonl").read_text().splitlines(keepends=True)
    (changed / "audit.jsonl").write_text("".join([lines[0], lines[1].replace('"replies": 4', '"replies": 3'), *lines[2:]]))
    done = fedloom("audit", "verify", "changed", cwd=tmp_path)
    assert done.returncode == 1
    assert "changed/audit.jsonl:2: the audit chain is broken here" in error_line(done.stderr)
    done = fedloom("audit", "verify", "changed", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, found["entries"], found["unbroken"]) == (1, 1, False)
    assert found["reason"].startswith("changed/audit.jsonl:2: ")
    (changed / "audit.jsonl").write_text("".join(lines[:3]))
    (changed / "manifest.json").write_text(json.dumps({"audit_sha256": last}))
    done = fedloom("audit", "verify", "changed", cwd=tmp_path)
    assert (done.returncode, f"no entry has the hash {last[:12]}..." in done.stderr) == (1, True)
    done = fedloom("audit", "verify", "nowhere", cwd=tmp_path)
    assert (done.returncode, error_line(done.stderr)[:40]) == (2, "error: nowhere: has no audit.jsonl; name")


def test_an_adapter_without_its_weights_is_not_exported(desk, finished):
    shutil.copytree(desk / "finished", desk / "robbed")
    (desk / "robbed" / "adapter" / "adapter_model.safetensors").unlink()
    done = fedloom("export", "robbed", "stolen", cwd=desk)
    assert done.returncode == 2
    assert "holds no adapter (adapter_model.safetensors is missing)" in error_line(done.stderr)
    assert not (desk / "stolen").exists()


def test_chat_takes_bytes_that_are_no_text_a_block_that_is_not_closed_and_no_odd_temperature(desk, finished):
    unclosed = fedloom("chat", "finished", "--max-new-tokens", "4", cwd=desk, typed='"""\ncolor of sky?')
    plain = fedloom("chat", "finished", "--max-new-tokens", "4", cwd=desk, typed="color of sky?\n")
    assert (unclosed.returncode, unclosed.stdout) == (0, plain.stdout)
    done = fedloom("chat", "finished", "--temperature", "nan", cwd=desk, typed="hi\n")
    assert (done.returncode, error_line(done.stderr)) == (2, "error: --temperature: should be a finite number, got nan")
    cold = fedloom("chat", "finished", "--max-new-tokens", "4", "--temperature", "1e-300", cwd=desk, typed="color of sky?\n")
    assert cold.stdout == plain.stdout


def test_networks_are_listed_beside_models_and_there_is_nothing_to_fetch_of_one(desk):
    from fedloom.models.networks import PICTURE_NETWORKS, TEXT_NETWORKS

    listed = fedloom("models", "ls", cwd=desk, COLUMNS="200").stdout
    for name, network in (PICTURE_NETWORKS | TEXT_NETWORKS).items():
        assert name in listed
        assert f"{network.parameters(labels=10):,}" in listed
    done = fedloom("models", "get", "cnn", cwd=desk)
    assert error_line(done.stderr) == "error: cnn: is drawn from the seed of a run, and there is nothing to fetch"
