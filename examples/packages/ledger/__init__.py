"""Book-keeping in small: amounts of money, exchange rates, and accounts in SQLite.

A sample of what a package may hold. Nothing in it knows of wsremote.
"""

from ledger.money.amounts import Amount, total

__all__ = ["CURRENCY", "Amount", "total"]

CURRENCY = "EUR"
