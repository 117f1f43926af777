-- What a router reads, and all that it reads: the head, whole channels with their children, API keys, groups, tombstones and
-- the lineage. The tables behind may change as long as these answer the same.
--
-- Each is fit for a full load (no condition) and for a delta (revision > R): the children are gathered by index, channel by
-- channel, so a delta costs what changed, never what there is. Read all of them in one REPEATABLE READ transaction.
-- Lists come in byte order of their names, or by id.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE VIEW router_head AS
SELECT c.revision, c.chain, c.digest, c.channel_count, c.api_key_count, c.group_count
FROM catalog AS c;

CREATE VIEW router_channels AS
SELECT
    c.id,
    c.revision,
    c.content_hash,
    c.name,
    c.provider,
    c.base_url,
    c.status,
    c.priority,
    c.weight,
    c.tags,
    c.header_overrides,
    c.parameter_overrides,
    c.connect_timeout_ms,
    c.first_byte_timeout_ms,
    c.idle_timeout_ms,
    c.total_timeout_ms,
    -- [{"id", "sealed", "last_four", "status"}, ...]; sealed is base64 on one line (encode breaks it at 76).
    coalesce((
        SELECT jsonb_agg(
            jsonb_build_object(
                'id', k.id, 'sealed', translate(encode(k.sealed, 'base64'), E'\n', ''),
                'last_four', k.last_four, 'status', k.status
            )
            ORDER BY k.id
        )
        FROM channel_keys AS k WHERE k.channel_id = c.id
    ), '[]') AS keys,
    -- [[model, upstream model or null], ...]
    coalesce((
        SELECT jsonb_agg(jsonb_build_array(m.model, m.upstream_model) ORDER BY m.model)
        FROM channel_models AS m WHERE m.channel_id = c.id
    ), '[]') AS models,
    array(
        SELECT g.group_name FROM channel_groups AS g WHERE g.channel_id = c.id ORDER BY g.group_name
    ) AS groups,
    -- [[group, model, enabled or null, priority or null, weight or null], ...]
    coalesce((
        SELECT jsonb_agg(
            jsonb_build_array(o.group_name, o.model, o.enabled, o.priority, o.weight) ORDER BY o.group_name, o.model
        )
        FROM ability_overrides AS o WHERE o.channel_id = c.id
    ), '[]') AS overrides
FROM channels AS c;

CREATE VIEW router_api_keys AS
SELECT
    a.id,
    a.revision,
    a.content_hash,
    a.name,
    a.hash,
    a.group_name,
    a.fallback_groups,
    a.model_allow_list,
    a.address_allow_list::text[] AS address_allow_list,
    a.expire_time,
    a.status
FROM api_keys AS a;

CREATE VIEW router_groups AS
SELECT g.name, g.revision, g.content_hash
FROM groups AS g;

-- Read with revision > R. A live row of the same id beats a tombstone.
CREATE VIEW router_tombstones AS
SELECT t.kind, t.id, t.revision
FROM tombstones AS t;

CREATE VIEW router_revisions AS
SELECT r.revision, r.chain
FROM revisions AS r;
