"""What an operator types: `trunkline up` runs the whole house, its database included, on one machine.

Law: this room starts, watches and stops processes, and talks to them only through what every operator has: ports,
signals, SQL and the admin's HTTP face. It imports no other room.
"""
