-- How requests are shaped for a channel's upstream. What a channel leaves at its default is nowhere: a channel that shapes
-- nothing hashes as before and reads as before, so this file changes no revision and no digest, and routers that know
-- nothing of it follow on.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- The shapes are not checked: a router quarantines one bad channel rather than this refusing a repair.
ALTER TABLE channels
ADD COLUMN provider_options jsonb NOT NULL DEFAULT '{}',
ADD COLUMN removed_headers text[] NOT NULL DEFAULT '{}',
ADD COLUMN system_prompt text NOT NULL DEFAULT '',
-- DEFAULT: only where the caller gave none. PREPEND: before the caller's own.
ADD COLUMN system_prompt_mode text NOT NULL DEFAULT 'DEFAULT',
-- {"upstream's status": status shown, ...}
ADD COLUMN status_mapping jsonb NOT NULL DEFAULT '{}',
-- The proxy's URL with its credentials, sealed as channel keys are; associated data `id:proxy`. Null: none.
ADD COLUMN proxy_sealed bytea,
-- The same without its credentials, for people.
ADD COLUMN proxy_shown text NOT NULL DEFAULT '',
ADD COLUMN strict boolean NOT NULL DEFAULT false,
ADD COLUMN repeat_after_timeout boolean NOT NULL DEFAULT false;

-- All of the above in one value; null when everything is at its default. Whatever may be said here is hashed, and read by
-- routers. `sealed` is base64 on one line (encode breaks it at 76).
CREATE FUNCTION shaping_of(c channels) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN NOT (
    c.provider_options = '{}' AND c.removed_headers = '{}' AND c.system_prompt = '' AND c.system_prompt_mode = 'DEFAULT'
    AND c.status_mapping = '{}' AND c.proxy_sealed IS NULL AND c.proxy_shown = ''
    AND NOT c.strict AND NOT c.repeat_after_timeout
) THEN jsonb_build_object(
    'provider_options', c.provider_options,
    'removed_headers', c.removed_headers,
    'system_prompt', c.system_prompt,
    'system_prompt_mode', c.system_prompt_mode,
    'status_mapping', c.status_mapping,
    'proxy_sealed', translate(encode(c.proxy_sealed, 'base64'), E'\n', ''),
    'proxy_shown', c.proxy_shown,
    'strict', c.strict,
    'repeat_after_timeout', c.repeat_after_timeout
) END;

-- As before, but that the first word of a channel that shapes its requests is a list: what is hashed stays unambiguous, and
-- the hash of every other channel what it was.
CREATE OR REPLACE VIEW channel_hashes AS
SELECT
    c.id,
    content_hash_of(json_build_array(
        CASE WHEN shaping_of(c) IS NULL THEN to_json('channel'::text) ELSE json_build_array('channel', shaping_of(c)) END,
        c.id, c.name, c.provider, c.base_url, c.status, c.status_reason, c.priority, c.weight, c.tags,
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

-- As before, with the shaping at the end.
CREATE OR REPLACE VIEW router_channels AS
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
