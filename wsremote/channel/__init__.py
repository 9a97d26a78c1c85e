"""How one side's numbered messages reach the other, whatever connection carries them."""
