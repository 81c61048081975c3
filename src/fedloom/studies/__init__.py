"""Studies: many runs as one: sweeps over values, the matrix of attacks, rules and repairs, and repairs of finished runs."""
