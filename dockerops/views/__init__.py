"""Pages of this app: the six steps of the wizard, one file a step or two, and the records."""
