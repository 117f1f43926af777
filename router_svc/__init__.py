"""The router: holds the catalog in memory, follows its revisions, and picks channels.

Pure, deciding: `snapshot`, `shards`, `members`, `draft`, `rows`, `lineage`, `follower`, `plan`, `picker`, `draws`,
`refusing`, `negatives`, `doubts`, `explain`, `listing`, `comparison`, `disk_format`. Waiting: `line` (one database
session), `catalog`, `lease`, `lookups`, `cache`, `direct`, `scrub`, `disk`, `keeper`, `desk`. At the door: `service`,
`wire`, `pick_stream`, `invalidation`, `status`. Noting: `journal`, `outcomes`, `metrics`, `news`; `keyring` opens channel
keys.
"""

import trunkline  # noqa: F401 - first of all: what gRPC reads when it is imported is set there
