"""Large sources: what the clients of a federation hold stays on disk until it is asked for."""

import json
import tracemalloc

from fedloom.data.clients import build_clients
from fedloom.data.summary import summary
from fedloom.recipe import DataRecipe

CLIENTS, ROWS, BYTES = 747, 40, 2000


def test_747_clients_are_built_without_holding_their_rows(tmp_path):
    for number in range(CLIENTS):
        rows = ({"question": f"{number}-{row}?", "answer": f"{row} {'x' * BYTES}"} for row in range(ROWS))
        (tmp_path / f"user-{number:03}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = DataRecipe.model_validate({"source": str(tmp_path), "partition": {"kind": "by_source"}})
    tracemalloc.start()
    try:
        data = build_clients(recipe, None, seed=7)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data.clients) == CLIENTS
    size = CLIENTS * ROWS * BYTES
    assert held < size / 15
    assert peak < size / 10
    assert data.clients[746].train[0].prompt[0].content.startswith("746-")
    assert summary(data.clients[:1])[0]["words_per_response"] == 2
