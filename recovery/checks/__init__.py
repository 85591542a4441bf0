"""What a database that was started out of an archive is asked, and what its answers mean: pure, one file an engine."""
