"""Must never be imported: Python runs it as a program."""

raise AssertionError("the program of samplepkg was imported")
