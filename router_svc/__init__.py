"""The router: holds the catalog in memory, follows its revisions, and picks channels.

Pure, deciding: `snapshot`, `shards`, `members`, `draft`, `rows`, `lineage`, `follower`, `picker`, `explain`, `listing`.
Waiting: `line` (one database session), `catalog`, `lease`, `lookups`, `cache`, `desk`. At the door: `service`, `wire`,
`pick_stream`, `invalidation`, `status`. Noting: `journal`, `outcomes`, `metrics`; `keyring` opens channel keys.
"""
