"""How models are named: the table of families, and how a name falls into words."""
