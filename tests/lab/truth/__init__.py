"""What the laboratory's servers are, written down by hand: a report of capabilities must say all of it and no more."""
