"""Fault drills: the real program, real servers beside it, and what must hold while they fail."""
