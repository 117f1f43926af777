-- Nothing here needs a superuser. The stamping functions as 0002 has them today: a database that was made when they still
-- declared a custom setting, which only a superuser may, gets the same ones. And the rights of a router, in one call.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE OR REPLACE FUNCTION stamp_channels(
    head bigint, ids bigint[], forced boolean[], OUT moved numeric, OUT newly bigint[]
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    outer_depth text := coalesce(current_setting('trunkline.stamp_depth', true), '');
BEGIN
    PERFORM set_config('trunkline.stamp_depth', (pg_trigger_depth() + 1)::text, true);
    WITH fresh AS MATERIALIZED (
        SELECT c.id, c.content_hash AS was, h.content_hash AS is_now, c.revision <> head AS first, t.forced
        FROM unnest(ids, forced) AS t (id, forced)
        JOIN channels AS c ON c.id = t.id
        JOIN channel_hashes AS h ON h.id = t.id
    ),
    stamped AS (
        UPDATE channels AS c SET revision = head, content_hash = f.is_now, updated_time = now()
        FROM fresh AS f WHERE c.id = f.id AND (f.forced OR f.is_now <> f.was)
        RETURNING c.id, f.is_now::numeric - f.was AS moved, f.first
    )
    SELECT coalesce(sum(s.moved), 0), coalesce(array_agg(s.id) FILTER (WHERE s.first), '{}')
    INTO moved, newly
    FROM stamped AS s;
    PERFORM set_config('trunkline.stamp_depth', outer_depth, true);
END;
$$;

CREATE OR REPLACE FUNCTION stamp_api_keys(head bigint, ids bigint[], forced boolean[]) RETURNS numeric
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    moved numeric;
    outer_depth text := coalesce(current_setting('trunkline.stamp_depth', true), '');
BEGIN
    PERFORM set_config('trunkline.stamp_depth', (pg_trigger_depth() + 1)::text, true);
    WITH fresh AS MATERIALIZED (
        SELECT a.id, a.content_hash AS was, h.content_hash AS is_now, t.forced
        FROM unnest(ids, forced) AS t (id, forced)
        JOIN api_keys AS a ON a.id = t.id
        JOIN api_key_hashes AS h ON h.id = t.id
    ),
    stamped AS (
        UPDATE api_keys AS a SET revision = head, content_hash = f.is_now, updated_time = now()
        FROM fresh AS f WHERE a.id = f.id AND (f.forced OR f.is_now <> f.was)
        RETURNING f.is_now::numeric - f.was AS moved
    )
    SELECT coalesce(sum(s.moved), 0) INTO moved FROM stamped AS s;
    PERFORM set_config('trunkline.stamp_depth', outer_depth, true);
    RETURN moved;
END;
$$;

CREATE OR REPLACE FUNCTION stamp_groups(head bigint, names text[], forced boolean[]) RETURNS numeric
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    moved numeric;
    outer_depth text := coalesce(current_setting('trunkline.stamp_depth', true), '');
BEGIN
    PERFORM set_config('trunkline.stamp_depth', (pg_trigger_depth() + 1)::text, true);
    WITH fresh AS MATERIALIZED (
        SELECT g.name, g.content_hash AS was, h.content_hash AS is_now, t.forced
        FROM unnest(names, forced) AS t (name, forced)
        JOIN groups AS g ON g.name = t.name
        JOIN group_hashes AS h ON h.name = t.name
    ),
    stamped AS (
        UPDATE groups AS g SET revision = head, content_hash = f.is_now, updated_time = now()
        FROM fresh AS f WHERE g.name = f.name AND (f.forced OR f.is_now <> f.was)
        RETURNING f.is_now::numeric - f.was AS moved
    )
    SELECT coalesce(sum(s.moved), 0) INTO moved FROM stamped AS s;
    PERFORM set_config('trunkline.stamp_depth', outer_depth, true);
    RETURN moved;
END;
$$;

-- Grants a role what a router needs and no more: to read its views, and to keep its lease. Harmless to repeat. The views of
-- later versions are granted to whoever has these, by the migration that makes them.
CREATE FUNCTION grant_router(grantee regrole) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', current_schema(), grantee);
    EXECUTE format(
        'GRANT SELECT ON router_head, router_channels, router_api_keys, router_groups, router_tombstones, '
        'router_revisions, abilities TO %s', grantee);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON routers TO %s', grantee);
END;
$$;

COMMENT ON FUNCTION grant_router(regrole) IS
'Grants a role what a router needs: its views and its lease. SELECT grant_router(''name''), by the owner of the schema.';
REVOKE EXECUTE ON FUNCTION grant_router(regrole) FROM PUBLIC;
