"""The command `trunkline`.

Law: a fault an operator can mend is one message on standard error and exit status 1; a fault of the command line is 2, as
argparse has it; anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import datetime as dt
import sys

from operator_cli.certificates import CertsOptions, make
from operator_cli.errors import OperatorError
from operator_cli.options import parse


def main() -> int:
    """Run what was typed. Gives the exit status."""
    try:
        options = parse(sys.argv[1:])
    except OperatorError as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return 1
    if isinstance(options, CertsOptions):
        return _certs(options)
    # After the command line is known to be right: --help need not wait for a database driver to load.
    from operator_cli.up import up  # noqa: PLC0415

    try:
        up(options)
    except OperatorError as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # typed before anything was started; later the supervisor takes it as a request to stop
        return 130
    return 0


def _certs(options: CertsOptions) -> int:
    try:
        for line in make(options, dt.datetime.now(dt.UTC)):
            print(line)
    except OperatorError as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return 1
    print(
        f"Give each service its own of {options.directory}: TRUNKLINE_TLS_CA=ca.pem, TRUNKLINE_TLS_CERT, TRUNKLINE_TLS_KEY."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
