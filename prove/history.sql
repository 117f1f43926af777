-- What the proof writes down beside the catalog, in the transaction that makes each change: every row that went or came, and
-- the moments between which the revision was committed. Independent of the catalog's own stamps, hashes and tombstones.
CREATE SCHEMA prove;

CREATE TABLE prove.commits (
    revision bigint PRIMARY KEY,
    chain text NOT NULL,
    -- When the head's lock was taken: whatever came before is committed by then.
    begun double precision NOT NULL,
    -- Read by the last trigger before the COMMIT: not in force before that.
    ended double precision NOT NULL,
    -- The transaction that took the number: a hand that edits the head later is no commit of its revision.
    made_by xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE TABLE prove.rows (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision bigint NOT NULL,
    kind text NOT NULL,
    gone jsonb,
    come jsonb
);
CREATE INDEX rows_revision_idx ON prove.rows (revision);

-- Columns that decide nothing about who serves what. A planted row may hold anything there, at any depth.
CREATE FUNCTION prove.undecided() RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY['header_overrides', 'parameter_overrides', 'provider_options', 'status_mapping'];

CREATE FUNCTION prove.note_row() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO prove.rows (revision, kind, gone, come)
    VALUES (
        public.begin_change(),
        tg_table_name,
        CASE WHEN tg_op <> 'INSERT' THEN to_jsonb(old) - prove.undecided() END,
        CASE WHEN tg_op <> 'DELETE' THEN to_jsonb(new) - prove.undecided() END
    );
    RETURN NULL;
END;
$$;

CREATE FUNCTION prove.note_commit() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO prove.commits (revision, chain, begun, ended)
    VALUES (
        new.revision, encode(new.chain, 'hex'),
        extract(epoch FROM new.change_time), extract(epoch FROM clock_timestamp())
    )
    ON CONFLICT (revision) DO UPDATE SET ended = excluded.ended WHERE prove.commits.made_by = excluded.made_by;
    RETURN NULL;
END;
$$;

-- What is there already is as if it had all come with the revision that is the head now. Its lock is held until the COMMIT.
INSERT INTO prove.commits (revision, chain, begun, ended)
SELECT
    revision, encode(chain, 'hex'),
    extract(epoch FROM change_time), extract(epoch FROM change_time)
FROM public.catalog FOR UPDATE;

DO $$
DECLARE
    watched name;
BEGIN
    FOREACH watched IN ARRAY ARRAY[
        'groups', 'channels', 'channel_keys', 'channel_models', 'channel_groups', 'ability_overrides', 'api_keys'
    ]::name[] LOOP
        EXECUTE format(
            'INSERT INTO prove.rows (revision, kind, come)'
            ' SELECT c.revision, %L, to_jsonb(t) FROM public.%I AS t, public.catalog AS c',
            watched, watched
        );
        EXECUTE format(
            'CREATE TRIGGER note_row AFTER INSERT OR UPDATE OR DELETE ON public.%I'
            ' FOR EACH ROW EXECUTE FUNCTION prove.note_row()',
            watched
        );
    END LOOP;
END;
$$;

CREATE CONSTRAINT TRIGGER note_commit AFTER UPDATE ON public.catalog
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION prove.note_commit();
