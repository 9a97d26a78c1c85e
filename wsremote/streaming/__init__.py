"""Iterators, several items at a time (floor 2): when that is unseen, who makes them, who reads."""
