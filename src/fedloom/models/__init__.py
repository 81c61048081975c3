"""Models: the catalogue, loading, adapters, generation."""
