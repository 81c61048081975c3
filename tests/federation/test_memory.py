"""What a client keeps between rounds."""

import pytest
import torch

from fedloom.errors import RefusedMessageError
from fedloom.federation.memory import ClientMemory
from fedloom.state import State


def known(value):
    return {"control": State.of({"w": torch.tensor([float(value)])})}


def value(states):
    return float(states["control"]["w"]) if states else None


def test_a_client_knows_nothing_at_first(tmp_path):
    assert ClientMemory("north", tmp_path / "north").before(1) == {}
    assert not (tmp_path / "north").exists()


def test_a_client_knows_what_it_kept_in_the_last_round_it_took_part_in(tmp_path):
    memory = ClientMemory("north", tmp_path / "north")
    memory.save(2, known(2))
    memory.save(5, known(5))
    assert [value(memory.before(number)) for number in (2, 3, 5, 6, 9)] == [None, 2, 2, 5, 5]


def test_a_round_that_is_done_again_starts_from_what_was_known_before_it(tmp_path):
    memory = ClientMemory("north", tmp_path)
    for number in (1, 2, 3):
        memory.save(number, known(number))
    assert value(memory.before(3)) == 2
    memory.save(3, known(30))
    assert value(memory.before(3)) == 2
    assert value(memory.before(4)) == 30


def test_the_last_two_are_kept(tmp_path):
    memory = ClientMemory("north", tmp_path)
    for number in (1, 2, 4, 7):
        memory.save(number, known(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round-00004.memory", "round-00007.memory"]


def test_going_back_forgets_what_came_later(tmp_path):
    memory = ClientMemory("north", tmp_path)
    for number in (1, 2, 3):
        memory.save(number, known(number))
    memory.save(2, known(20))
    assert value(memory.before(9)) == 20


def test_what_came_after_the_last_reply_that_was_used_is_forgotten(tmp_path):
    memory = ClientMemory("north", tmp_path)
    for number in (1, 2, 3):
        memory.save(number, known(number))  # the reply of round 3 was refused
    assert value(memory.before(2 + 1)) == 2
    memory.save(5, known(5), used=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round-00002.memory", "round-00005.memory"]
    memory.save(6, known(6), used=2)  # nor was that of round 5 used
    assert value(memory.before(2 + 1)) == 2


def test_a_client_knows_when_what_it_kept_of_a_round_is_lost(tmp_path):
    memory = ClientMemory("north", tmp_path)
    assert not memory.lost(2)
    for number in (1, 2):
        memory.save(number, known(number))
    assert not memory.lost(2)
    (tmp_path / "round-00002.memory").unlink()
    assert memory.lost(2)


def test_nothing_to_keep_writes_nothing(tmp_path):
    ClientMemory("north", tmp_path / "north").save(1, {})
    assert not (tmp_path / "north").exists()


def test_a_client_does_not_take_another_clients_memory(tmp_path):
    ClientMemory("north", tmp_path).save(1, known(1))
    with pytest.raises(RefusedMessageError, match="client 'south' refused: client is 'north', expected 'south'"):
        ClientMemory("south", tmp_path).before(2)
