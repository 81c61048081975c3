"""The data layer: sources, records with provenance, partitioning into clients, text templates and tokens."""
