"""Needs what is not there."""

raise ImportError("samplepkg needs a library that is not installed")
