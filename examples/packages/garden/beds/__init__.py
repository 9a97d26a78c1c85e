"""Where it grows."""
