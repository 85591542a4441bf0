"""Docker: what an archive holds of an engine, and how it is put back."""
