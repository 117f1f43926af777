-- Upkeep: proving that the stamps are true, making them true again, and forgetting old history.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- Every way in which head, stamps and tombstones disagree with the rows; no row means sound. Reads everything, in one
-- statement and so at one moment. Disagreement comes only from writes that triggers did not see (session_replication_role,
-- a data-only restore with triggers off), or from a new Postgres that writes jsonb differently.
CREATE FUNCTION catalog_digest_check() RETURNS TABLE (kind text, id text, fault text, stored text, actual text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
BEGIN ATOMIC
    WITH stamped (kind, id, revision, stored, actual) AS (
        SELECT 'channel', c.id::text, c.revision, c.content_hash, h.content_hash
        FROM channels AS c JOIN channel_hashes AS h ON h.id = c.id
        UNION ALL
        SELECT 'api_key', a.id::text, a.revision, a.content_hash, h.content_hash
        FROM api_keys AS a JOIN api_key_hashes AS h ON h.id = a.id
        UNION ALL
        SELECT 'group', g.name, g.revision, g.content_hash, h.content_hash
        FROM groups AS g JOIN group_hashes AS h ON h.name = g.name
    ),
    truth AS (
        SELECT
            coalesce(sum(s.actual), 0) AS digest,
            count(*) FILTER (WHERE s.kind = 'channel') AS channels,
            count(*) FILTER (WHERE s.kind = 'api_key') AS api_keys,
            count(*) FILTER (WHERE s.kind = 'group') AS groups
        FROM stamped AS s
    ),
    faults (kind, id, fault, stored, actual) AS (
        SELECT s.kind, s.id, 'content_hash', s.stored::text, s.actual::text
        FROM stamped AS s WHERE s.stored <> s.actual
        UNION ALL
        SELECT s.kind, s.id, 'revision', s.revision::text, 'within 1 and ' || c.revision
        FROM stamped AS s, catalog AS c WHERE s.revision NOT BETWEEN 1 AND c.revision
        UNION ALL
        SELECT 'catalog', '', 'digest', c.digest::text, t.digest::text
        FROM catalog AS c, truth AS t WHERE c.digest <> t.digest
        UNION ALL
        SELECT 'catalog', '', 'channel_count', c.channel_count::text, t.channels::text
        FROM catalog AS c, truth AS t WHERE c.channel_count <> t.channels
        UNION ALL
        SELECT 'catalog', '', 'api_key_count', c.api_key_count::text, t.api_keys::text
        FROM catalog AS c, truth AS t WHERE c.api_key_count <> t.api_keys
        UNION ALL
        SELECT 'catalog', '', 'group_count', c.group_count::text, t.groups::text
        FROM catalog AS c, truth AS t WHERE c.group_count <> t.groups
        UNION ALL
        SELECT 'catalog', '', 'lineage', c.revision || ' ' || encode(c.chain, 'hex'), 'not in revisions'
        FROM catalog AS c
        WHERE NOT EXISTS (SELECT FROM revisions AS r WHERE r.revision = c.revision AND r.chain = c.chain)
        UNION ALL
        SELECT s.kind, s.id, 'tombstone', t.revision::text, 'live'
        FROM stamped AS s JOIN tombstones AS t ON t.kind = s.kind AND t.id = s.id
    )
    SELECT f.kind, f.id, f.fault, f.stored, f.actual FROM faults AS f;
END;

-- Makes the stamps, the head and the tombstones true again, as one more revision, which it answers.
CREATE FUNCTION catalog_repair() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    head bigint := begin_change();
    newly bigint[];
BEGIN
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

-- Forgets revisions older than `keep` (never the newest), and the tombstones that only an older router could need: one that
-- stands at a revision still kept needs those after it, and one whose revision is gone reloads whole. Request ids are
-- forgotten with their revisions. What is forgotten is always the oldest part, without holes.
CREATE FUNCTION prune_history(keep interval, OUT revisions_deleted bigint, OUT tombstones_deleted bigint)
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    oldest_kept bigint;
BEGIN
    SELECT coalesce(min(r.revision), (SELECT max(l.revision) FROM revisions AS l)) INTO oldest_kept
    FROM revisions AS r WHERE r.change_time >= now() - keep;
    DELETE FROM revisions AS r WHERE r.revision < oldest_kept;
    GET DIAGNOSTICS revisions_deleted = ROW_COUNT;
    -- Whoever changes the catalog may hold tombstones in any order; we never wait for one, so there is no deadlock.
    DELETE FROM tombstones AS t WHERE (t.kind, t.id) IN (
        SELECT o.kind, o.id FROM tombstones AS o WHERE o.revision <= oldest_kept FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS tombstones_deleted = ROW_COUNT;
END;
$$;

REVOKE EXECUTE ON FUNCTION catalog_digest_check(), catalog_repair(), prune_history(interval) FROM PUBLIC;
