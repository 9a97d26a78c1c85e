"""Classes and functions (floor 3) that stand for those of the other side of a session."""
