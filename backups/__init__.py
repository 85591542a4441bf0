"""Pools, repositories, jobs, archives."""
