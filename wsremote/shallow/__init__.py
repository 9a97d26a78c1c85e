"""Classes and functions that stand for those of the other side of a session."""
