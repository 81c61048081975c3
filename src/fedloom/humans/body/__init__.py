"""Parametric bodies: the one that comes with the package, and SMPL and SMPL-X out of the user's own files."""
