"""Names that the package hides, each with a neighbour that it does not."""

EXCLUDED_VARIABLES = ["PASSWORD", "LIMIT", "SECRETS"]
EXCLUDED_FUNCTIONS = ["destroy", "Vault.burn"]
EXCLUDED_CLASSES = ["Hidden"]

PASSWORD = "of the hidden module"
LIMIT = 1
SECRETS = {"token": "of the hidden module"}
SHOWN_LIMIT = 1


def destroy():
    """Not for clients."""
    return "destroyed"


def keep():
    """For clients."""
    return "kept"


obliterate = destroy


class Hidden:
    """Not for clients."""

    def inherited(self):
        """What it gives to the classes that derive from it."""
        return "from the hidden class"

    def __len__(self):
        return 9


class Vault(Hidden):
    """For clients, with one method that is not."""

    def burn(self):
        """Not for clients."""

    def open(self):
        """For clients."""
        return "open"


def secret_instance():
    """An instance of a hidden class."""
    return Hidden()
