"""A module that holds a SQLite connection, which works in one thread only."""

from decimal import Decimal

import wsremote

with wsremote.connect() as session:
    store = session.modules.ledger.books.store

    store.open_books()
    print(store.book("rent", -90000), store.book("rent", 500, memo="interest"))
    store.book("wages", 250000, "March")
    print(store.balance("rent"), store.statement("rent", limit=1))

    # The connection itself: a class that no served package defines.
    cursor = store.connection.execute("SELECT account, sum(cents) FROM entry GROUP BY account")
    print(cursor.fetchall(), store.connection.total_changes)

    store.close_books()
    try:
        store.balance("rent")
    except store.Closed as error:
        print("Closed:", error)

    # Money: frozen dataclasses with operators, exact decimals by value.
    ledger = session.modules.ledger
    rent = ledger.Amount(Decimal("900.50"))
    print(rent + rent * 2, rent > ledger.Amount(Decimal(7)), rent.currency)
    print(ledger.total(1, Decimal("2.505"), fee=Decimal("0.10")), ledger.CURRENCY)
    print(ledger.money.amounts.split(Decimal("10.00"), parts=3))

    rates = ledger.money.rates
    old = rates.set_rate("USD", Decimal("1.25"))
    print(old, rates.convert(Decimal(80), target="USD"), rates.updates > 0)
    rates.set_rate("USD", old)
