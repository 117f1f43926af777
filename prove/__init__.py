"""Proof by experiment: the real thing, broken at the worst moments, while clients check every answer against the history.

`truth`, `history` and `checks` are pure: what was true at each revision, when each revision was the head, and what an
answer may therefore say. They share no code with the services, so that no bug can hide in both. `cluster`, `postgres` and
`proxy` run the real thing, `picks` and `mutations` load it, `faults` break it, `campaign` does all of that in an order
drawn from one seed, and `report` tells. `python -m prove` is the long form, tests/chaos the short one, and
`python -m prove.validate` holds the logs of a deployment against its history.
"""
