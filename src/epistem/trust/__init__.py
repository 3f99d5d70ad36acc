"""How far a result can be trusted when its truth is not known."""
