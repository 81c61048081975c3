"""Parties and messages: the round loop, what crosses the wire, and how work reaches the clients."""
