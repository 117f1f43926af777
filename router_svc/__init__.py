"""The router: holds the catalog in memory, follows its revisions, and picks channels.

Pure, deciding: `snapshot`, `members`, `shards`, `draft`, `rows`, `picker`, `explain`, `listing`, `follower`. Waiting:
`line` (one bounded database session), `catalog`, `lease`, `cache`, `desk`. At the door: `service`, `wire`, `streams`.
"""
