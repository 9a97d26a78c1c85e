"""Amounts and rates."""
