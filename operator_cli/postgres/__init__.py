"""Embedded Postgres: which binaries, as which user, behind which socket, and the one server they make.

Law: the data outlives everything here, so nothing in this package ever deletes or rewrites a data directory it did not
just make; and the server never outlives its owner.
"""
