"""What falls on it. Needs pandas; without it the rest of the garden still works."""
