"""Left out, as tests are."""

SEEN = True
