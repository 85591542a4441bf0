"""Use cases of pools, repositories, jobs and archives."""
