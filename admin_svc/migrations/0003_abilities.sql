-- Abilities as operators know them: one row for each group and model that a channel may serve. It is a view, so it cannot
-- disagree with the channels it comes from; writing to it writes to those, as a change like any other.
--
--   UPDATE  sets what the ability has of its own (enabled, priority, weight), and only what was changed. A null goes back to
--           the channel's own value. The rest of the row belongs to the channel, or is the ability's name, and is refused.
--   INSERT  makes exactly that ability exist and be as given: the channel gets the model and the group if it lacks them, and
--           other abilities that this would bring about are switched off. An ability that exists already is set as given.
--   DELETE  switches the ability off; the row stays and says so. To be rid of it, take the model or the group away.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE VIEW abilities AS
SELECT
    g.group_name AS "group",
    m.model,
    c.id AS channel_id,
    coalesce(o.enabled, true) AS enabled,
    c.status = 'ENABLED' AND coalesce(o.enabled, true) AS effective,
    coalesce(o.priority, c.priority) AS priority,
    coalesce(o.weight, c.weight) AS weight,
    c.name AS channel_name,
    m.upstream_model
FROM channels AS c
JOIN channel_models AS m ON m.channel_id = c.id
JOIN channel_groups AS g ON g.channel_id = c.id
LEFT JOIN ability_overrides AS o
ON o.channel_id = c.id AND o.group_name = g.group_name AND o.model = m.model;

COMMENT ON VIEW abilities IS
'UPDATE enabled, priority, weight (null: the channel''s own); INSERT makes one ability exist; DELETE switches one off.';

CREATE FUNCTION update_ability() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
    IF (new."group", new.model, new.channel_id) IS DISTINCT FROM (old."group", old.model, old.channel_id) THEN
        RAISE EXCEPTION 'the group, model and channel_id of an ability cannot be changed'
        USING ERRCODE = 'feature_not_supported', HINT = 'DELETE this ability and INSERT the other.';
    END IF;
    IF (new.effective, new.channel_name, new.upstream_model)
        IS DISTINCT FROM (old.effective, old.channel_name, old.upstream_model)
    THEN
        RAISE EXCEPTION 'only enabled, priority and weight of an ability can be changed'
        USING ERRCODE = 'feature_not_supported', HINT = 'UPDATE channels or channel_models.';
    END IF;
    INSERT INTO ability_overrides AS o (group_name, model, channel_id, enabled, priority, weight)
    SELECT
        old."group", old.model, old.channel_id,
        CASE WHEN new.enabled <> old.enabled THEN new.enabled END,
        CASE WHEN new.priority <> old.priority THEN new.priority END,
        CASE WHEN new.weight <> old.weight THEN new.weight END
    WHERE (new.enabled, new.priority, new.weight) IS DISTINCT FROM (old.enabled, old.priority, old.weight)
    ON CONFLICT ON CONSTRAINT ability_overrides_pkey DO UPDATE SET
        enabled = CASE WHEN new.enabled IS DISTINCT FROM old.enabled THEN new.enabled ELSE o.enabled END,
        priority = CASE WHEN new.priority IS DISTINCT FROM old.priority THEN new.priority ELSE o.priority END,
        weight = CASE WHEN new.weight IS DISTINCT FROM old.weight THEN new.weight ELSE o.weight END;
    IF new.enabled IS NULL OR new.priority IS NULL OR new.weight IS NULL THEN
        -- An override that overrides nothing is no override.
        DELETE FROM ability_overrides AS o
        WHERE o.channel_id = old.channel_id AND o.group_name = old."group" AND o.model = old.model
        AND num_nonnulls(o.enabled, o.priority, o.weight) = 0;
    END IF;
    SELECT a.* INTO new FROM abilities AS a
    WHERE a.channel_id = old.channel_id AND a."group" = old."group" AND a.model = old.model;
    RETURN new;
END;
$$;

CREATE FUNCTION insert_ability() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    had_model boolean;
    had_group boolean;
    -- On is what an ability is when nothing is said.
    own_enabled boolean := nullif(coalesce(new.enabled, true), true);
BEGIN
    IF new.effective IS NOT NULL OR new.channel_name IS NOT NULL THEN
        RAISE EXCEPTION 'effective and channel_name of an ability follow from its channel and cannot be given'
        USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM begin_change();
    had_model := EXISTS (
        SELECT FROM channel_models AS m WHERE m.channel_id = new.channel_id AND m.model = new.model
    );
    had_group := EXISTS (
        SELECT FROM channel_groups AS g WHERE g.channel_id = new.channel_id AND g.group_name = new."group"
    );
    IF NOT had_model THEN
        INSERT INTO channel_models (channel_id, model, upstream_model)
        VALUES (new.channel_id, new.model, new.upstream_model);
    ELSIF new.upstream_model <> (
        SELECT coalesce(m.upstream_model, m.model) FROM channel_models AS m
        WHERE m.channel_id = new.channel_id AND m.model = new.model
    ) THEN
        RAISE EXCEPTION 'channel % sends model % to another upstream model in all its groups', new.channel_id, new.model
        USING ERRCODE = 'feature_not_supported', HINT = 'UPDATE channel_models.';
    END IF;
    IF NOT had_group THEN
        INSERT INTO channel_groups (channel_id, group_name) VALUES (new.channel_id, new."group");
    END IF;
    INSERT INTO ability_overrides (group_name, model, channel_id, enabled)
    SELECT g.group_name, m.model, new.channel_id, false
    FROM channel_groups AS g
    JOIN channel_models AS m ON m.channel_id = g.channel_id
    WHERE g.channel_id = new.channel_id
    AND ((NOT had_group AND g.group_name = new."group") OR (NOT had_model AND m.model = new.model))
    AND (g.group_name, m.model) <> (new."group", new.model);
    IF num_nonnulls(own_enabled, new.priority, new.weight) = 0 THEN
        DELETE FROM ability_overrides AS o
        WHERE o.channel_id = new.channel_id AND o.group_name = new."group" AND o.model = new.model;
    ELSE
        INSERT INTO ability_overrides (group_name, model, channel_id, enabled, priority, weight)
        VALUES (new."group", new.model, new.channel_id, own_enabled, new.priority, new.weight)
        ON CONFLICT ON CONSTRAINT ability_overrides_pkey DO UPDATE SET
            enabled = excluded.enabled, priority = excluded.priority, weight = excluded.weight;
    END IF;
    SELECT a.* INTO new FROM abilities AS a
    WHERE a.channel_id = new.channel_id AND a."group" = new."group" AND a.model = new.model;
    RETURN new;
END;
$$;

CREATE FUNCTION delete_ability() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO ability_overrides (group_name, model, channel_id, enabled)
    VALUES (old."group", old.model, old.channel_id, false)
    ON CONFLICT ON CONSTRAINT ability_overrides_pkey DO UPDATE SET enabled = excluded.enabled;
    RETURN old;
END;
$$;

CREATE TRIGGER update_ability INSTEAD OF UPDATE ON abilities FOR EACH ROW EXECUTE FUNCTION update_ability();
CREATE TRIGGER insert_ability INSTEAD OF INSERT ON abilities FOR EACH ROW EXECUTE FUNCTION insert_ability();
CREATE TRIGGER delete_ability INSTEAD OF DELETE ON abilities FOR EACH ROW EXECUTE FUNCTION delete_ability();

REVOKE EXECUTE ON FUNCTION update_ability(), insert_ability(), delete_ability() FROM PUBLIC;
