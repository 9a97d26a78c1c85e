"""Exchange rates: a module variable that a function changes."""

from __future__ import annotations

from decimal import Decimal

EXCLUDED_VARIABLES = ["PROVIDER_KEY"]

PROVIDER_KEY = "only for the server"
RATES = {"EUR": Decimal(1), "USD": Decimal("1.08"), "CHF": Decimal("0.95")}
updates = 0


def set_rate(currency: str, rate: Decimal) -> Decimal | None:
    """Take a new rate against EUR. Gives the old one, None if there was none."""
    global updates
    updates += 1
    old = RATES.get(currency)
    RATES[currency] = rate
    return old


def convert(value: Decimal, source: str = "EUR", target: str = "EUR") -> Decimal:
    """The same money in another currency.

    Raises:
        KeyError: No rate is known for a currency.
    """
    return (value / RATES[source] * RATES[target]).quantize(Decimal("0.01"))
