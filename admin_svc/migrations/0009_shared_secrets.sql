-- Which secrets the catalog is written with: a fingerprint of each, so that a service with others can tell before it says
-- anything wrong. No table of the catalog: nothing here is a revision. Routers see it in the head, in the same read as all
-- that they prove by it.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE TABLE shared_secrets (
    kind text NOT NULL,
    -- Of an encryption key its id; of a pepper the first digits of its fingerprint.
    id text NOT NULL,
    fingerprint bytea NOT NULL,
    registered_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id),
    CHECK (kind IN ('pepper', 'encryption_key')),
    CHECK (octet_length(fingerprint) = 32)
);

-- As before, with the fingerprints at the end: [[kind, id, hex], ...].
CREATE OR REPLACE VIEW router_head AS
SELECT
    c.revision,
    c.chain,
    c.digest,
    c.channel_count,
    c.api_key_count,
    c.group_count,
    coalesce((
        SELECT jsonb_agg(jsonb_build_array(s.kind, s.id, encode(s.fingerprint, 'hex')) ORDER BY s.kind, s.id)
        FROM shared_secrets AS s
    ), '[]') AS secrets
FROM catalog AS c;

-- Ends a rotation: forgets a secret that nothing needs any more. Refuses the last of its kind, and an encryption key by which
-- something is sealed still. Whether API keys hashed with a pepper are left, only their owners know.
CREATE FUNCTION forget_secret(secret_kind text, secret_id text) RETURNS void
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    prefix bytea := convert_to(secret_id || ':', 'UTF8');
BEGIN
    -- Whoever changes the catalog holds this row, so nothing is sealed meanwhile.
    PERFORM c.revision FROM catalog AS c FOR UPDATE;
    IF NOT EXISTS (SELECT 1 FROM shared_secrets AS s WHERE s.kind = secret_kind AND s.id = secret_id) THEN
        RAISE EXCEPTION 'no % is registered as %', secret_kind, secret_id USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM shared_secrets AS s WHERE s.kind = secret_kind AND s.id <> secret_id) THEN
        RAISE EXCEPTION '% is the only % registered', secret_id, secret_kind USING ERRCODE = 'restrict_violation';
    END IF;
    IF secret_kind = 'encryption_key' AND (
        EXISTS (SELECT 1 FROM channel_keys AS k WHERE substr(k.sealed, 1, length(prefix)) = prefix)
        OR EXISTS (SELECT 1 FROM channels AS c WHERE substr(c.proxy_sealed, 1, length(prefix)) = prefix)
    ) THEN
        RAISE EXCEPTION 'channel keys or proxies are sealed with % still', secret_id USING ERRCODE = 'restrict_violation';
    END IF;
    DELETE FROM shared_secrets AS s WHERE s.kind = secret_kind AND s.id = secret_id;
END;
$$;

REVOKE EXECUTE ON FUNCTION forget_secret(text, text) FROM PUBLIC;
