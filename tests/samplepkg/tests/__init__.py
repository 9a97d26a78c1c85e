"""Left out, as tests are."""
