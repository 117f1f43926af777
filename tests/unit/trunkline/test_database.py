"""What a session may do before the server ends it, by its connection string."""

from __future__ import annotations

import psycopg

from trunkline.database import CONNECT_TIMEOUT, with_bounds
from trunkline.secret import Secret


def test_every_wait_of_a_session_has_a_bound() -> None:
    """A statement, a lock, a transaction that was left open, and a connection to a server that says nothing."""
    bounded = with_bounds(Secret("host=h"), "a name", statement_timeout=5.0, lock_timeout=2.0)
    given = psycopg.conninfo.conninfo_to_dict(bounded.reveal())
    for bound in ("statement_timeout=5000", "lock_timeout=2000", "idle_in_transaction_session_timeout=10000"):
        assert f"-c {bound}" in str(given["options"])
    assert (given["connect_timeout"], given["application_name"]) == (str(CONNECT_TIMEOUT), "a name")
    assert int(str(given["tcp_user_timeout"])) == 10_000


def test_what_an_operator_says_of_a_session_comes_last_and_wins() -> None:
    """The last `-c` of a name counts."""
    bounded = with_bounds(
        Secret("host=h options='-c lock_timeout=9'"), "a name", statement_timeout=5.0, lock_timeout=2.0
    )
    options = str(psycopg.conninfo.conninfo_to_dict(bounded.reveal())["options"])
    assert options.rindex("lock_timeout=9") > options.index("lock_timeout=2000")
