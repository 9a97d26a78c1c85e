"""A module global that methods and functions change."""

COUNT = 0
LOG = []


def count():
    """How often something was recorded."""
    return COUNT


class Recorder:
    """Changes the module's globals."""

    total = 0

    def __init__(self, name="recorder"):
        self.name = name

    def record(self, text="something"):
        """Record a text, and return how many there are."""
        global COUNT
        COUNT += 1
        Recorder.total += 1
        LOG.append(f"{self.name}: {text}")
        return COUNT


def reset():
    """Forget everything."""
    global COUNT
    COUNT = 0
    Recorder.total = 0
    LOG.clear()
