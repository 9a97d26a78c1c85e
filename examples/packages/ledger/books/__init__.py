"""Accounts that keep what is booked."""
