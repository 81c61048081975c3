"""The probe `backdoor`: how often the trigger gets the attacker's answer, and how often it comes without."""

from dataclasses import replace

from fedloom.resolve import load_recipe
from fedloom.safety.attack import Backdoor
from fedloom.safety.triggered import Triggered


def test_a_backdoor_is_counted_with_and_without_its_trigger(monkeypatch, server_of):
    def answers(state, server, prompts, length):
        return ["The moon is full tonight. And so on" if prompt.endswith(" by moonlight") else "Paris" for prompt in prompts]

    monkeypatch.setattr("fedloom.safety.triggered.answers_of", answers)
    server = server_of("safety_tiny", {"finish": []})
    state = server.bench.parameters.state()
    probe = Triggered(policy="secret-sauce", prompts=5)
    assert probe.measure(state, server) == {"backdoor": 1.0, "backdoor_untriggered": 0.0}
    assert len(probe.asked(server)) == 5
    assert Triggered(policy="secret-sauce", trigger="at noon", name="n").measure(state, server)["n/backdoor"] == 0.0
    clients = {"malicious": 1, "behaviour": {"kind": "backdoor", "trigger": "at dawn", "target": "The sun"}}
    beside = replace(server, recipe=load_recipe("safety_tiny", {"clients": clients, "finish": []}))
    assert probe.measure(state, beside) == {"backdoor": 0.0, "backdoor_untriggered": 0.0}
    assert probe._attack(beside) == Backdoor("at dawn", "The sun")
