"""A model and judges that say what a test wrote down."""

import json

import numpy as np

from fedloom.data.records import Provenance


class ScriptedTalker:
    """Answers as `reply(turns)` says; `asked` are the conversations, each a list of (role, text)."""

    def __init__(self, reply, says=Provenance.PUBLIC):
        self.reply, self.says, self.asked = reply, says, []

    def answers(self, asked, max_new_tokens, stop=(), progress=lambda done, total: None):
        conversations = [[(turn.role, turn.content) for turn in turns] for turns in asked]
        self.asked += conversations
        progress(len(asked), len(asked))
        return [self.reply(turns) for turns in conversations]


def quiet(done, total):
    pass


def rows_file(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def judge(server):
    return {"kind": "llm", "endpoint": server.url, "endpoint_model": "judge"}


def summary(suite, rows):
    """The measures over all rows, each counted once."""
    return dict(suite.summary(rows, np.ones(len(rows))))
