"""How work reaches the clients: `local` is this machine."""
