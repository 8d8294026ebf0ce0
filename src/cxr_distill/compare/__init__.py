"""How the models differ on the same films: paired differences, curves, and what needs no network at all."""
