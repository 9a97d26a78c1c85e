"""Amounts of money, exact to the cent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

CENT = Decimal("0.01")


@dataclass(frozen=True, order=True)
class Amount:
    """Some money of one currency."""

    value: Decimal
    currency: str = "EUR"

    def __add__(self, other: Amount) -> Amount:
        if self.currency != other.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Amount(self.value + other.value, self.currency)

    def __mul__(self, factor: int) -> Amount:
        return Amount(self.value * factor, self.currency)

    def __str__(self) -> str:
        return f"{self.value:,.2f} {self.currency}"


def total(*values: Decimal | int, rounding: Decimal = CENT, **fees: Decimal) -> Decimal:
    """The sum of values and named fees, rounded."""
    return (sum(values, Decimal()) + sum(fees.values(), Decimal())).quantize(rounding)


def split(value: Decimal, parts: int = 2) -> list[Decimal]:
    """Shares that add up to the value exactly: the first ones take the odd cents."""
    share = (value / parts).quantize(CENT, rounding="ROUND_DOWN")
    odd = int((value - share * parts) / CENT)
    return [share + CENT] * odd + [share] * (parts - odd)
