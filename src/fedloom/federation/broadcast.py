"""What the server sends down. With a lossy codec, a client that took part in the round before gets only what has changed since.

Let s_t be the state clients train from in round t and w_t the server's. The server sends q_t = C(w_t - s_{t-1}) and both sides set
s_t = s_{t-1} + q_t: what coding lost in one round is in the next difference, so it does not add up (error feedback on the way down). A
client that does not hold s_{t-1} gets s_t whole, in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedloom.federation.codec import codecs
from fedloom.federation.messages import NO_ENVELOPE, Envelope, Message, encode
from fedloom.state import State


class Broadcast:
    """Messages to the clients of one federation.

    `held`: client -> the round whose state it holds; `reference`: that state. `used`: client -> the last round whose reply was taken in.
    The server tells the client, which goes on from what it kept of that round and forgets what came after it (a reply that was refused, or
    whose round was done again).
    """

    def __init__(
        self,
        codec: str,
        reference: State | None = None,
        held: Mapping[str, int] | None = None,
        used: Mapping[str, int] | None = None,
        envelope: Envelope = NO_ENVELOPE,
    ) -> None:
        self._envelope = envelope
        self.codec = codec
        self.reference = reference
        self.held = dict(held or {})
        self.used = dict(used or {})

    def open_round(self, round_number: int, state: State, extras: Mapping[str, State], report: Mapping[str, float]) -> None:
        """Settle what `round_number` starts from, and the numbers of `report` that every client is told (learning_rate, deadline).

        Call again with the same arguments for a round that is done again.
        """
        self._round, self._extras, self._report = round_number, extras, report
        self._coded, self._start = None, state
        if self.codec != "fp32" and self.reference is not None:
            coder = codecs.get(self.codec)
            self._coded = coder.encode(state.flat - self.reference.flat)
            self._start = State(state.layout, self.reference.flat + coder.decode(self._coded, state.layout.numel))

    def message(self, client: str) -> bytes:
        """The bytes that `client` is sent in this round."""
        if self._coded is not None and self.held.get(client) == self._round - 1:
            sections = {"difference": self._start, **self._extras}
            return encode(self._message(client, sections), self.codec, {"difference": self._coded})
        return encode(self._message(client, {"state": self._start, **self._extras}))

    def _message(self, client: str, sections: Mapping[str, State]) -> Message:
        return Message("train", self._round, client, sections, self._told(client), self._envelope)

    def _told(self, client: str) -> dict[str, float]:
        return {**self._report, "used": self.used.get(client, 0)}

    def arrived(self, client: str) -> None:
        """`client` has answered, so it holds this round's state."""
        self.held[client] = self.used[client] = self._round

    def arrived_late(self, client: str, round_number: int) -> None:
        """`client` has answered to the work of an earlier round; what state it holds is of no use by now."""
        self.used[client] = round_number

    def lost(self, client: str) -> None:
        """`client` has failed; what it holds is not known."""
        self.held.pop(client, None)

    def close_round(self) -> None:
        """The round has succeeded: the next difference refers to its start."""
        self.reference = self._start if self.codec != "fp32" else None
