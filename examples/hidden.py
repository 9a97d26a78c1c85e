"""Names that a package lists in EXCLUDED_VARIABLES, _FUNCTIONS and _CLASSES are not served."""

import wsremote

with wsremote.connect() as session:
    garden = session.modules.garden
    for module, name in [
        (garden.beds.bed, "GATE_CODE"),
        (garden.beds.bed, "burn_down"),
        (garden.plants.plant, "Weed"),
        (session.modules.ledger.money.rates, "PROVIDER_KEY"),
    ]:
        print(module.__name__, name, "served" if hasattr(module, name) else "hidden")
