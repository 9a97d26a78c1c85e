"""A hierarchy of exceptions, with constructors and attributes of their own."""


class PackageError(Exception):
    """Base of the errors of this package."""


class CodedError(PackageError):
    """An error whose constructor takes other arguments than `args` has."""

    def __init__(self, code, *, hint=""):
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class NotFound(PackageError, LookupError):
    """An error that is also a built-in one."""

    def __str__(self):
        return f"not found: {self.args[0]}"


def fail(kind="package", detail="broken"):
    """Raise an error of a kind: package, coded, lookup, value, cause, group, exit, note."""
    if kind == "package":
        raise PackageError(detail)
    if kind == "coded":
        raise CodedError(7, hint=detail)
    if kind == "lookup":
        raise NotFound(detail)
    if kind == "cause":
        try:
            {}["missing"]
        except KeyError as error:
            raise PackageError(detail) from error
    if kind == "group":
        raise ExceptionGroup(detail, [ValueError(1), NotFound("x")])
    if kind == "exit":
        raise SystemExit(detail)
    if kind == "note":
        error = ValueError(detail)
        error.add_note("look here")
        raise error
    raise ValueError(detail)
