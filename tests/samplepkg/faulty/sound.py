"""Has nothing wrong with it."""

FINE = True
