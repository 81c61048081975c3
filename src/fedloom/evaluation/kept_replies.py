"""Replies on disk, each kept as soon as it is there under a hash of what was asked: nothing is asked twice, and what is killed goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress

from fedloom.files import append_line, cache_folder, disk_errors_named, whole_lines


class KeptReplies:
    """The replies of one who is asked, `identity` being all that decides them beside the question. Only the user can read the file."""

    def __init__(self, folder: str, identity: str) -> None:
        self._identity = identity
        self._path = cache_folder() / folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsonl"
        with disk_errors_named(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
        self._known = dict(self._read())

    def get(self, asked: object) -> str | None:
        """The reply to `asked`, plain JSON; None where there is none yet."""
        return self._known.get(self._key(asked))

    def keep(self, asked: object, said: str) -> None:
        append_line(self._path, {"key": self._key(asked), "said": said})
        self._known[self._key(asked)] = said

    def _read(self) -> Iterable[tuple[str, str]]:
        """A damaged line is none: what it answered is asked again."""
        for line in whole_lines(self._path):
            with suppress(ValueError, TypeError, KeyError):
                entry = json.loads(line)
                yield str(entry["key"]), str(entry["said"])

    def _key(self, asked: object) -> str:
        return hashlib.sha256(json.dumps([self._identity, asked]).encode()).hexdigest()
