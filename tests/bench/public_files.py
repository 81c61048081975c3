"""Small files in the columns of the public sets that FedLLM-Bench's federations are built from."""

import json

AYA = ("inputs", "targets", "language", "language_code", "annotation_type", "user_id")
LANGUAGES = {"eng": "English", "arb": "Standard Arabic", "zho": "Simplified Chinese", "tel": "Telugu", "swh": "Swahili"}


def aya(user, code="eng", count=1, asked="What is {}?", answer="It is {}."):
    """Rows of aya_dataset that one annotator wrote in one language."""
    return [
        dict(zip(AYA, (asked.format(n), answer.format(n), LANGUAGES[code], code, "original-annotations", user), strict=True))
        for n in range(count)
    ]


def talk(*texts, first="user"):
    """A conversation in the order of its turns, as OpenAI's API and these sets write it."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"content": text, "role": roles[place % 2]} for place, text in enumerate(texts)]


def battle(judge, winner, a=("q", "answer a"), b=("q", "answer b"), language="English"):
    """A row of chatbot_arena_conversations."""
    return {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
        "model_a": "chatglm-6b",
        "model_b": "koala-13b",
        "winner": winner,
        "judge": judge,
        "conversation_a": a if isinstance(a, list) else talk(*a),
        "conversation_b": b if isinstance(b, list) else talk(*b),
        "turn": 1,
        "anony": True,
        "language": language,
        "tstamp": 1682351591.1322,
    }


def chat(user, *texts, first="user", language="English"):
    """A row of WildChat-1M."""
    turns = [turn | {"language": language, "redacted": False, "toxic": False} for turn in talk(*texts, first=first)]
    return {
        "conversation_hash": "0" * 32,
        "model": "gpt-4",
        "timestamp": "2023-04-09T00:02:53",
        "conversation": turns,
        "turn": len(texts) // 2,
        "language": language,
        "redacted": False,
        "hashed_ip": user,
    }


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def write_json(path, rows):
    path.write_text(json.dumps(rows))
    return path


def write_parquet(path, rows):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
    return path


WRITERS = {"parquet": write_parquet, "jsonl": write_lines, "json": write_json}
