"""A generator of pictures as a user trains one."""

from __future__ import annotations

import json

from commands import error_line, fedloom, result, started, wait_for

WORDS = ("generate", "train", "digits", "steps=120", "batch_size=4", "data.limit=60", "dtype=float32")


def test_a_killed_training_goes_on_to_the_bytes_of_an_unbroken_one_which_tells_its_pace(desk):
    with started(*WORDS, "--out", "killed", cwd=desk) as process:
        wait_for((desk / "killed" / "training.safetensors").exists, process)
        process.kill()
        process.communicate()
    resumed = result(fedloom(*WORDS, "--out", "killed", "--json", cwd=desk))
    assert (resumed["rows"], resumed["size"], resumed["labels"]) == (60, [8, 8, 1], list("0123456789"))
    assert json.loads((desk / "killed" / "config.json").read_text())["trained_on"]["source"] == "digits"
    unbroken = fedloom(*WORDS, "--out", "unbroken", cwd=desk)
    assert unbroken.stdout.splitlines() == [
        "pictures   60 of 8 x 8 x 1, 10 classes",
        f"sha256     {resumed['sha256']}",
        "generator  unbroken",
    ]
    assert "step 60 of 120: " in unbroken.stderr
    assert " steps/s, loss " in unbroken.stderr
    assert " left\n" in unbroken.stderr


def test_private_pictures_are_refused_in_one_line(desk):
    refused = fedloom("generate", "train", "digits", "data.provenance=private", "--out", "private", cwd=desk)
    assert refused.returncode == 2
    assert error_line(refused.stderr).endswith("if anybody may see these pictures, say so: data.provenance=public")
    assert not (desk / "private").exists()
