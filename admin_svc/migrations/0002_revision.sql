-- The revision protocol: whatever changes the catalog, by whatever hand, is one numbered step that routers can follow.
--
-- * Before a statement on a catalog table: begin_change() takes the lock of the head row and, once a transaction, the next
--   revision. So writers queue before they touch a row, revisions are dense and in commit order, and no two can deadlock.
-- * After a statement, over its transition tables and never row by row: rows that changed are stamped with the revision and
--   the hash of their content, a channel also when a child of it changed; what went leaves a tombstone; the head's digest
--   and counts move by the difference.
--
-- The functions run as their owner, so that a role which may change a table need have no right on the head or the history.
-- Their path is pinned, temporary objects last, so that nobody can slip another table under them and so that they work
-- where the path is empty (a restore). None of them may be called, or attached to another table, by everybody.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- Locks the head and takes the next revision, once a transaction; answers the revision of this transaction.
--
-- A writer calls it before it reads what it decides upon: a row lock or a check taken earlier may deadlock or be stale.
-- Context arrives by set_config(name, value, true): trunkline.actor, trunkline.action, trunkline.request_id. A request_id
-- that was used before fails on the constraint revisions_request_id_key. A savepoint that is rolled back gives back both the
-- number and the lock, which is why the mark is in the row and not in the session.
CREATE FUNCTION begin_change() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    head catalog;
BEGIN
    SELECT * INTO head FROM catalog
    WHERE mark_xid = pg_current_xact_id() AND mark_time = transaction_timestamp();
    IF FOUND THEN
        RETURN head.revision;
    END IF;
    -- One statement: it waits for the writer before us and computes from what that one left.
    UPDATE catalog SET
        revision = revision + 1,
        chain = sha256(chain || int8send(revision + 1) || uuid_send(gen_random_uuid())),
        change_time = clock_timestamp(),
        mark_xid = pg_current_xact_id(),
        mark_time = transaction_timestamp()
    RETURNING * INTO STRICT head;
    INSERT INTO revisions (revision, chain, actor, action, request_id, change_time)
    VALUES (
        head.revision,
        head.chain,
        coalesce(nullif(current_setting('trunkline.actor', true), ''), session_user),
        coalesce(nullif(current_setting('trunkline.action', true), ''), 'sql'),
        nullif(current_setting('trunkline.request_id', true), ''),
        head.change_time
    );
    RETURN head.revision;
END;
$$;

-- ---------------------------------------------------------------------------------------------------------------------
-- What is hashed. Times and the stamps themselves are left out; everything else is in, encoded without ambiguity and
-- independently of session settings (bytes as hex, times as epoch seconds), children in a fixed order.

-- The first eight bytes of a SHA-256, as a signed number. STABLE, as convert_to is: so it is inlined.
CREATE FUNCTION content_hash_of(content json) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ('x' || left(encode(sha256(convert_to(content::text, 'UTF8')), 'hex'), 16))::bit(64)::bigint;

-- json rather than jsonb: its text is as unambiguous and a quarter cheaper to make. Each child is found by an index on its
-- channel, whether one channel is asked for or all.
CREATE VIEW channel_hashes AS
SELECT
    c.id,
    content_hash_of(json_build_array(
        'channel', c.id, c.name, c.provider, c.base_url, c.status, c.status_reason, c.priority, c.weight, c.tags,
        c.header_overrides, c.parameter_overrides,
        c.connect_timeout_ms, c.first_byte_timeout_ms, c.idle_timeout_ms, c.total_timeout_ms, c.remark,
        (
            SELECT json_agg(
                json_build_array(k.id, encode(k.sealed, 'hex'), k.last_four, k.status, k.status_reason, k.remark)
                ORDER BY k.id
            )
            FROM channel_keys AS k WHERE k.channel_id = c.id
        ),
        (
            SELECT json_agg(json_build_array(m.model, m.upstream_model) ORDER BY m.model)
            FROM channel_models AS m WHERE m.channel_id = c.id
        ),
        (
            SELECT json_agg(g.group_name ORDER BY g.group_name)
            FROM channel_groups AS g WHERE g.channel_id = c.id
        ),
        (
            SELECT json_agg(
                json_build_array(o.group_name, o.model, o.enabled, o.priority, o.weight)
                ORDER BY o.group_name, o.model
            )
            FROM ability_overrides AS o WHERE o.channel_id = c.id
        )
    )) AS content_hash
FROM channels AS c;

CREATE VIEW api_key_hashes AS
SELECT
    a.id,
    content_hash_of(json_build_array(
        'api_key', a.id, a.name, encode(a.hash, 'hex'), a.last_four, a.group_name, a.fallback_groups,
        a.model_allow_list, a.address_allow_list::text[], extract(EPOCH FROM a.expire_time), a.status, a.remark
    )) AS content_hash
FROM api_keys AS a;

CREATE VIEW group_hashes AS
SELECT g.name, content_hash_of(json_build_array('group', g.name, g.remark)) AS content_hash
FROM groups AS g;

-- ---------------------------------------------------------------------------------------------------------------------
-- Stamping. A stamp is itself an UPDATE of a catalog table, so it fires the triggers once more; they must tell it from a
-- change. The functions below say at which trigger depth their own UPDATE will arrive. A change made by anything else,
-- however deep (a cascade, a trigger of an INSTEAD OF kind or of the operator's own), arrives at another depth and is seen.
-- The setting is put back when the function ends; an error takes it back with the (sub)transaction. It is no SET of the
-- function's definition: for a custom setting that needs a superuser, which the owner of this schema need not be.

CREATE FUNCTION is_stamp() RETURNS boolean
LANGUAGE sql
RETURN current_setting('trunkline.stamp_depth', true) = pg_trigger_depth()::text;

-- Stamps those of the rows whose content is not what their hash says, and the forced ones whatever they say. Answers what
-- the digest moves by, and the channels that this transaction had not stamped before.
--
-- The plan is made once a session (planning costs ten times the work on one channel), so it must be the one that is right
-- for any size of the tables: one look into an index for each row, where a plan made over empty tables would scan them.
CREATE FUNCTION stamp_channels(
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

CREATE FUNCTION stamp_api_keys(head bigint, ids bigint[], forced boolean[]) RETURNS numeric
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

CREATE FUNCTION stamp_groups(head bigint, names text[], forced boolean[]) RETURNS numeric
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

-- ---------------------------------------------------------------------------------------------------------------------
-- Settling a statement: tombstones, stamps, the head, the history.

-- One row of a catalog table, before and after a statement; nulls where it was not or is not.
CREATE TYPE row_change AS (
    id text, old_revision bigint, old_hash bigint, new_revision bigint, new_hash bigint
);

-- Moves the head's digest, and notes the channels that this transaction touched for the first time. Neither row is written
-- for nothing: each write leaves a dead version that the rest of a long transaction must step over.
CREATE FUNCTION note_channels(head bigint, moved numeric, counted integer, newly bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    IF moved <> 0 OR counted <> 0 THEN
        UPDATE catalog SET digest = digest + moved, channel_count = channel_count + counted;
    END IF;
    IF cardinality(newly) > 0 THEN
        UPDATE revisions SET
            touched_channels = CASE
                WHEN touched_count < 1000 THEN (touched_channels || newly)[1:1000] ELSE touched_channels
            END,
            touched_count = touched_count + cardinality(newly)
        WHERE revision = head;
    END IF;
END;
$$;

-- Buries what went and unburies what came; answers the ids that came back within this very transaction. Planned once, as
-- above.
CREATE FUNCTION bury(head bigint, kind text, changes row_change[]) RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    back text[];
BEGIN
    WITH unburied AS (
        DELETE FROM tombstones AS t USING unnest(changes) AS x
        WHERE x.old_hash IS NULL AND t.kind = bury.kind AND t.id = x.id
        RETURNING t.id, t.revision
    )
    SELECT coalesce(array_agg(u.id) FILTER (WHERE u.revision = head), '{}') INTO back FROM unburied AS u;
    INSERT INTO tombstones (kind, id, revision, delete_time)
    SELECT bury.kind, x.id, head, now() FROM unnest(changes) AS x WHERE x.new_hash IS NULL
    ON CONFLICT ON CONSTRAINT tombstones_pkey
    DO UPDATE SET revision = excluded.revision, delete_time = excluded.delete_time;
    RETURN back;
END;
$$;

-- Settles a statement on channels, API keys or groups. Forced stamps: rows that are new, and rows whose revision was
-- changed by hand (a hash changed by hand is found out by comparing).
CREATE FUNCTION settle(kind text, changes row_change[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
    head bigint := begin_change();
    back text[];
    ids text[];
    forced boolean[];
    moved numeric;
    counted integer;
    stamped numeric;
    newly bigint[];
BEGIN
    SELECT
        array_agg(x.id) FILTER (WHERE x.new_hash IS NOT NULL),
        array_agg(x.new_revision IS DISTINCT FROM x.old_revision) FILTER (WHERE x.new_hash IS NOT NULL),
        sum(coalesce(x.new_hash, 0)::numeric - coalesce(x.old_hash, 0)),
        count(x.new_hash) - count(x.old_hash)
    INTO ids, forced, moved, counted
    FROM unnest(changes) AS x;
    back := bury(head, kind, changes);
    IF kind = 'channel' THEN
        SELECT s.moved, s.newly INTO stamped, newly FROM stamp_channels(head, ids::bigint[], forced) AS s;
        -- The deleted are touched too; none is counted twice, not even one that was deleted and put back.
        newly := array(
            (SELECT unnest(newly) EXCEPT SELECT unnest(back)::bigint)
            UNION ALL
            SELECT x.id::bigint FROM unnest(changes) AS x WHERE x.new_hash IS NULL AND x.old_revision <> head
            ORDER BY 1
        );
        PERFORM note_channels(head, moved + stamped, counted, newly);
    ELSIF kind = 'api_key' THEN
        stamped := stamp_api_keys(head, ids::bigint[], forced);
        UPDATE catalog SET digest = digest + moved + stamped, api_key_count = api_key_count + counted
        WHERE moved + stamped <> 0 OR counted <> 0;
    ELSE
        stamped := stamp_groups(head, ids, forced);
        UPDATE catalog SET digest = digest + moved + stamped, group_count = group_count + counted
        WHERE moved + stamped <> 0 OR counted <> 0;
    END IF;
END;
$$;

-- ---------------------------------------------------------------------------------------------------------------------
-- The triggers. A function used by triggers of several tables or operations is compiled for each, and a query in it is
-- planned only when it is reached: a transition table that an operation lacks is never looked for.

CREATE FUNCTION before_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM begin_change();
    RETURN NULL;
END;
$$;

CREATE FUNCTION refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused: routers could not follow it', tg_table_name
    USING ERRCODE = 'feature_not_supported', HINT = format('Use DELETE FROM %I.', tg_table_name);
END;
$$;

-- An id given by hand (a channel put back, a COPY) must not be given out a second time. `top` null: none was given.
CREATE FUNCTION keep_identity_ahead(identity_table regclass, top bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
    sequence_id regclass := pg_get_serial_sequence(identity_table::text, 'id')::regclass;
BEGIN
    IF top > coalesce(pg_sequence_last_value(sequence_id), 0) THEN
        PERFORM setval(sequence_id, top);
    END IF;
END;
$$;

-- For channels and API keys; the argument is the kind.
CREATE FUNCTION after_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    changes row_change[];
BEGIN
    IF is_stamp() THEN
        RETURN NULL;
    END IF;
    IF tg_op = 'INSERT' THEN
        SELECT array_agg((n.id, NULL, NULL, n.revision, n.content_hash)::row_change) INTO changes FROM added AS n;
    ELSIF tg_op = 'DELETE' THEN
        SELECT array_agg((o.id, o.revision, o.content_hash, NULL, NULL)::row_change) INTO changes FROM removed AS o;
    ELSE
        SELECT array_agg((id, o.revision, o.content_hash, n.revision, n.content_hash)::row_change)
        INTO changes
        FROM removed AS o FULL JOIN added AS n USING (id);
    END IF;
    IF changes IS NOT NULL THEN
        PERFORM settle(tg_argv[0], changes);
        PERFORM keep_identity_ahead(
            tg_relid::regclass, (SELECT max(x.id::bigint) FROM unnest(changes) AS x WHERE x.old_hash IS NULL)
        );
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION after_group_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    changes row_change[];
BEGIN
    IF is_stamp() THEN
        RETURN NULL;
    END IF;
    IF tg_op = 'INSERT' THEN
        SELECT array_agg((n.name, NULL, NULL, n.revision, n.content_hash)::row_change) INTO changes FROM added AS n;
    ELSIF tg_op = 'DELETE' THEN
        SELECT array_agg((o.name, o.revision, o.content_hash, NULL, NULL)::row_change) INTO changes FROM removed AS o;
    ELSE
        SELECT array_agg((name, o.revision, o.content_hash, n.revision, n.content_hash)::row_change)
        INTO changes
        FROM removed AS o FULL JOIN added AS n USING (name);
    END IF;
    IF changes IS NOT NULL THEN
        PERFORM settle('group', changes);
    END IF;
    RETURN NULL;
END;
$$;

-- For the four tables of children: the channels they belong to, or did, are looked at again.
CREATE FUNCTION after_child_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    head bigint;
    ids bigint[];
    moved numeric;
    newly bigint[];
BEGIN
    IF tg_op = 'INSERT' THEN
        ids := array(SELECT DISTINCT n.channel_id FROM added AS n);
    ELSIF tg_op = 'DELETE' THEN
        ids := array(SELECT DISTINCT o.channel_id FROM removed AS o);
    ELSE
        ids := array(SELECT o.channel_id FROM removed AS o UNION SELECT n.channel_id FROM added AS n);
    END IF;
    IF cardinality(ids) > 0 THEN
        head := begin_change();
        SELECT s.moved, s.newly INTO moved, newly
        FROM stamp_channels(head, ids, array_fill(false, ARRAY[cardinality(ids)])) AS s;
        PERFORM note_channels(head, moved, 0, newly);
    END IF;
    IF tg_op = 'INSERT' AND tg_table_name = 'channel_keys' THEN
        PERFORM keep_identity_ahead(tg_relid::regclass, (SELECT max(n.id) FROM added AS n));
    END IF;
    RETURN NULL;
END;
$$;

-- Per row, and harmless so: it reads and writes nothing but the row. The other tables get their time from the stamp.
CREATE FUNCTION set_updated_time() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    new.updated_time := now();
    RETURN new;
END;
$$;

-- The head and its history are written by the functions above; what a hand could break for good is refused.
CREATE FUNCTION refuse_head_change() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION '% of the catalog head is refused: revisions only ever advance by one, each with a new chain', tg_op
    USING ERRCODE = 'feature_not_supported', HINT = 'SELECT begin_change() takes the next revision.';
END;
$$;

CREATE FUNCTION refuse_lineage_change() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'revision % is refused: the number and chain of a revision never change', old.revision
    USING ERRCODE = 'feature_not_supported';
END;
$$;

CREATE FUNCTION refuse_headless_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM revisions AS r JOIN catalog AS c ON r.revision = c.revision) THEN
        RAISE EXCEPTION 'the newest revision cannot be deleted: routers prove themselves against it'
        USING ERRCODE = 'feature_not_supported', HINT = 'Use prune_history(interval).';
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER refuse_head_change BEFORE UPDATE ON catalog FOR EACH ROW
WHEN (
    new.revision NOT IN (old.revision, old.revision + 1)
    OR (new.revision = old.revision) <> (new.chain = old.chain)
)
EXECUTE FUNCTION refuse_head_change();
CREATE TRIGGER refuse_head_delete BEFORE DELETE ON catalog FOR EACH ROW EXECUTE FUNCTION refuse_head_change();
CREATE TRIGGER refuse_lineage_change BEFORE UPDATE ON revisions FOR EACH ROW
WHEN (old.revision <> new.revision OR old.chain <> new.chain)
EXECUTE FUNCTION refuse_lineage_change();
CREATE TRIGGER refuse_headless_history AFTER DELETE ON revisions FOR EACH STATEMENT
EXECUTE FUNCTION refuse_headless_history();
CREATE TRIGGER set_updated_time BEFORE UPDATE ON channel_keys FOR EACH ROW
WHEN (old.* IS DISTINCT FROM new.*) EXECUTE FUNCTION set_updated_time();

DO $$
DECLARE
    catalog_table text;
    settled_by text;
BEGIN
    FOR catalog_table, settled_by IN VALUES
        ('groups', 'after_group_change()'),
        ('channels', $q$after_change('channel')$q$),
        ('channel_keys', 'after_child_change()'),
        ('channel_models', 'after_child_change()'),
        ('channel_groups', 'after_child_change()'),
        ('ability_overrides', 'after_child_change()'),
        ('api_keys', $q$after_change('api_key')$q$)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER before_change BEFORE INSERT OR UPDATE OR DELETE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION before_change()', catalog_table);
        -- Three, because one trigger on several operations may have no transition tables.
        EXECUTE format(
            'CREATE TRIGGER after_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS added '
            'FOR EACH STATEMENT EXECUTE FUNCTION %s', catalog_table, settled_by);
        EXECUTE format(
            'CREATE TRIGGER after_update AFTER UPDATE ON %I REFERENCING OLD TABLE AS removed NEW TABLE AS added '
            'FOR EACH STATEMENT EXECUTE FUNCTION %s', catalog_table, settled_by);
        EXECUTE format(
            'CREATE TRIGGER after_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS removed '
            'FOR EACH STATEMENT EXECUTE FUNCTION %s', catalog_table, settled_by);
    END LOOP;

    FOREACH catalog_table IN ARRAY ARRAY[
        'groups', 'channels', 'channel_keys', 'channel_models', 'channel_groups', 'ability_overrides', 'api_keys',
        'catalog', 'revisions', 'tombstones'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', catalog_table);
    END LOOP;
END;
$$;

-- A function is everybody's to call, or to attach to a table of theirs, unless it is taken back.
REVOKE EXECUTE ON FUNCTION
begin_change(), stamp_channels(bigint, bigint[], boolean[]), stamp_api_keys(bigint, bigint[], boolean[]),
stamp_groups(bigint, text[], boolean[]), note_channels(bigint, numeric, integer, bigint[]),
bury(bigint, text, row_change[]), settle(text, row_change[]),
before_change(), after_change(), after_group_change(), after_child_change(), keep_identity_ahead(regclass, bigint),
set_updated_time(), refuse_truncate(), refuse_head_change(), refuse_lineage_change(), refuse_headless_history()
FROM PUBLIC;

-- Revision 1: the group that an API key belongs to unless it says otherwise.
SELECT set_config('trunkline.action', 'create-schema', true);
INSERT INTO groups (name) VALUES ('default');
