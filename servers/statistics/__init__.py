"""Figures of servers over time: read an answer, rates between two, sums of many. Pure: no row, no clock, no server."""
