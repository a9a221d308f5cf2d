"""Which layers matter: figures and tables."""
