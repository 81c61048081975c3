"""How work reaches the clients: `local` is this machine, `ray` a cluster of actors."""
