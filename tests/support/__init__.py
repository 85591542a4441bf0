"""What the tests of every room share: people, Redis, workers, a mail sink."""
