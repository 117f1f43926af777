-- A head that does not add up: what routers read as a row's hash is of what the row holds now, so that a change which no trigger
-- saw, or a restore that has not ended, is no catalog that anybody believes. And a head that a hand has edited is mended.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- As before, but for `content_hash`: of the row and its children as they are, not as the last trigger left it. Stored and true
-- hashes agree unless something wrote past the triggers; then the sum of what a router reads is not the head's digest.
CREATE OR REPLACE VIEW router_channels AS
SELECT
    c.id,
    c.revision,
    (SELECT h.content_hash FROM channel_hashes AS h WHERE h.id = c.id) AS content_hash,
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
    -- [{"id", "sealed", "last_four", "status"}, ...]; sealed is base64 on one line.
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
    ), '[]') AS overrides,
    shaping_of(c) AS shaping
FROM channels AS c;

CREATE OR REPLACE VIEW router_api_keys AS
SELECT
    a.id,
    a.revision,
    (SELECT h.content_hash FROM api_key_hashes AS h WHERE h.id = a.id) AS content_hash,
    a.name,
    a.hash,
    a.group_name,
    a.fallback_groups,
    a.model_allow_list,
    a.address_allow_list::text[] AS address_allow_list,
    a.expire_time,
    a.status
FROM api_keys AS a;

CREATE OR REPLACE VIEW router_groups AS
SELECT g.name, g.revision, (SELECT h.content_hash FROM group_hashes AS h WHERE h.name = g.name) AS content_hash
FROM groups AS g;

-- A digest that is no sum, and counts of less than nothing, are refused; what a hand left before this file is put to rights.
UPDATE catalog SET digest = 0 WHERE digest NOT BETWEEN -1e38 AND 1e38 OR digest <> trunc(digest);
UPDATE catalog SET channel_count = 0 WHERE channel_count < 0;
UPDATE catalog SET api_key_count = 0 WHERE api_key_count < 0;
UPDATE catalog SET group_count = 0 WHERE group_count < 0;
-- NaN is above every other number; no sum of hashes of eight bytes comes near 1e38. The one row was put to rights just now.
ALTER TABLE catalog ADD CONSTRAINT catalog_digest_sum_check
CHECK (digest BETWEEN -1e38 AND 1e38 AND digest = trunc(digest)) NOT VALID;
ALTER TABLE catalog ADD CONSTRAINT catalog_counts_check
CHECK (channel_count >= 0 AND api_key_count >= 0 AND group_count >= 0) NOT VALID;

-- Whether every catalog table has its triggers, all of them on. A restore makes them last, or has them off meanwhile: what does not
-- add up then is no fault to be mended.
CREATE FUNCTION catalog_is_guarded() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT count(DISTINCT t.tgrelid) = 7 AND bool_and(t.tgenabled IN ('O', 'A'))
    FROM pg_catalog.pg_trigger AS t
    WHERE NOT t.tgisinternal AND t.tgrelid IN (
        'groups'::regclass, 'channels'::regclass, 'channel_keys'::regclass, 'channel_models'::regclass,
        'channel_groups'::regclass, 'ability_overrides'::regclass, 'api_keys'::regclass
    );
END;

REVOKE EXECUTE ON FUNCTION catalog_is_guarded() FROM PUBLIC;

-- As before, and makes the head row anew where there is none: it goes on from the newest revision known.
CREATE OR REPLACE FUNCTION catalog_repair() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    head bigint;
    newly bigint[];
BEGIN
    INSERT INTO catalog (revision, chain, change_time, mark_xid, mark_time)
    SELECT r.revision, r.chain, now(), '0', '-infinity' FROM revisions AS r
    WHERE NOT EXISTS (SELECT FROM catalog)
    ORDER BY r.revision DESC LIMIT 1;
    head := begin_change();
    SELECT s.newly INTO newly
    FROM (SELECT array_agg(c.id) AS ids, array_agg(c.revision NOT BETWEEN 1 AND head) AS forced FROM channels AS c) AS t,
        stamp_channels(head, t.ids, t.forced) AS s;
    PERFORM stamp_api_keys(head, array_agg(a.id), array_agg(a.revision NOT BETWEEN 1 AND head)) FROM api_keys AS a;
    PERFORM stamp_groups(head, array_agg(g.name::text), array_agg(g.revision NOT BETWEEN 1 AND head)) FROM groups AS g;
    PERFORM note_channels(head, 0, 0, newly);
    UPDATE catalog SET
        digest = (
            SELECT coalesce(sum(h.content_hash), 0) FROM (
                SELECT content_hash FROM channels
                UNION ALL SELECT content_hash FROM api_keys
                UNION ALL SELECT content_hash FROM groups
            ) AS h
        ),
        channel_count = (SELECT count(*) FROM channels),
        api_key_count = (SELECT count(*) FROM api_keys),
        group_count = (SELECT count(*) FROM groups);
    DELETE FROM tombstones AS t WHERE (t.kind, t.id) IN (
        SELECT 'channel', c.id::text FROM channels AS c
        UNION ALL SELECT 'api_key', a.id::text FROM api_keys AS a
        UNION ALL SELECT 'group', g.name FROM groups AS g
    );
    RETURN head;
END;
$$;
