-- What no reader could take in is refused where it is written: JSON nested without end, and values that would not fit the
-- message of a plan. A router puts such a row aside alone, but a hand that types one should hear of it at once.
--
-- Triggers rather than CHECK constraints: Postgres tries a CHECK at every UPDATE of a row, the stamps of 0002 included, so a
-- row that was there before this file could be neither switched off nor touched by its children. These look at the columns
-- that a statement sets, and rows that exist already stay as they are until somebody writes those columns.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- True when something lies deeper than any reader goes (`trunkline/json_values.py`); it looks no further than that itself.
CREATE FUNCTION json_is_too_deep(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_path_exists(value, 'strict $.**{25}');

-- For rows of channels: refuses what nobody could read.
CREATE FUNCTION check_channel_is_legible() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    IF json_is_too_deep(new.header_overrides) OR json_is_too_deep(new.parameter_overrides)
        OR json_is_too_deep(new.provider_options) OR json_is_too_deep(new.status_mapping)
    THEN
        RAISE EXCEPTION 'the JSON of a channel is nested deeper than 24 levels'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'channels_json_depth_check';
    END IF;
    IF pg_column_size(new.header_overrides) + pg_column_size(new.parameter_overrides)
        + pg_column_size(new.provider_options) + pg_column_size(new.status_mapping) + pg_column_size(new.base_url)
        + pg_column_size(new.provider) + pg_column_size(new.system_prompt) + pg_column_size(new.removed_headers)
        + pg_column_size(new.tags) + pg_column_size(new.remark) + coalesce(pg_column_size(new.proxy_sealed), 0) > 1048576
    THEN
        RAISE EXCEPTION 'the columns of a channel are longer than 1 MiB together'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'channels_size_check';
    END IF;
    RETURN new;
END;
$$;

CREATE TRIGGER channels_legible
BEFORE INSERT OR UPDATE OF
    header_overrides, parameter_overrides, provider_options, status_mapping, base_url, provider, system_prompt,
    removed_headers, tags, remark, proxy_sealed
ON channels FOR EACH ROW EXECUTE FUNCTION check_channel_is_legible();

-- For rows of API keys.
CREATE FUNCTION check_api_key_is_legible() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    IF pg_column_size(new.fallback_groups) + pg_column_size(new.model_allow_list) + pg_column_size(new.name)
        + pg_column_size(new.address_allow_list) + pg_column_size(new.remark) > 1048576
    THEN
        RAISE EXCEPTION 'the columns of an API key are longer than 1 MiB together'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_size_check';
    END IF;
    RETURN new;
END;
$$;

CREATE TRIGGER api_keys_legible
BEFORE INSERT OR UPDATE OF name, fallback_groups, model_allow_list, address_allow_list, remark
ON api_keys FOR EACH ROW EXECUTE FUNCTION check_api_key_is_legible();

-- Nothing stamps these rows, so a CHECK can hinder nobody but who writes such a key anew.
ALTER TABLE channel_keys
ADD CONSTRAINT channel_keys_sealed_size_check CHECK (octet_length(sealed) <= 65536) NOT VALID,
ADD CONSTRAINT channel_keys_remark_size_check CHECK (octet_length(remark) <= 65536) NOT VALID,
ADD CONSTRAINT channel_keys_status_reason_size_check CHECK (octet_length(status_reason) <= 65536) NOT VALID;

REVOKE EXECUTE ON FUNCTION check_channel_is_legible(), check_api_key_is_legible() FROM PUBLIC;

