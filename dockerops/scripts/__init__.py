"""What bash scripts of restores are made of."""
