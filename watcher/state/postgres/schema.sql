-- The state of all watches in one database. Each "-- version N" part migrates it from version N-1,
-- in one transaction with its record in "setting". A released part is never edited; a change is a
-- new part. "watcher." stands for the schema that the URL names.

-- version 1

-- The version of the schema, under "schema".
CREATE TABLE watcher.setting (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- Which server owns the state; a single row. Times are those of the database's clock.
CREATE TABLE watcher.lease (
    one         bool PRIMARY KEY DEFAULT true CHECK (one),
    server      uuid,                          -- NULL: nobody
    name        text NOT NULL DEFAULT '',      -- of the server, for people
    node        text NOT NULL DEFAULT '',      -- where it runs, for people
    tenure      bigint NOT NULL DEFAULT 0,     -- how often the lease was taken
    taken_at    timestamptz NOT NULL DEFAULT '-infinity',
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10);
INSERT INTO watcher.lease DEFAULT VALUES;

-- The watches: what seldom changes.
CREATE TABLE watcher.watch (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest         text NOT NULL UNIQUE,       -- of principal, name and place, which may be long
    principal      text NOT NULL,
    name           text NOT NULL,
    place          text NOT NULL,
    uid            text NOT NULL,              -- first part of the ids of events
    former_ids     text NOT NULL DEFAULT '[]', -- before renewals, as JSON
    ids_renewed_at double precision NOT NULL DEFAULT 0,
    used_at        bigint NOT NULL,            -- when a stream last used it, seconds since the epoch
    history        text NOT NULL               -- fingerprint under which the ids are valid, see history.py
);

-- What every commit may change, small enough that an update stays on its page. "epoch" is the
-- permission to write the watch: each opening takes the next one. "step" counts what was written, so
-- that it says whether a step whose answer was lost is there, and whether any is missing.
CREATE TABLE watcher.counters (
    watch    bigint PRIMARY KEY,
    epoch    bigint NOT NULL DEFAULT 0,
    step     bigint NOT NULL DEFAULT 0,        -- of the last one that was written
    tenure   bigint NOT NULL DEFAULT 0,        -- in which it was opened: a former owner opens no more
    next_id  bigint NOT NULL DEFAULT 0,        -- of the next entry
    entries  bigint NOT NULL DEFAULT 0,        -- rows in entry
    next_seq bigint NOT NULL DEFAULT 1,        -- of the next change
    cursor   bigint NOT NULL DEFAULT 0         -- last confirmed sequence number
) WITH (fillfactor = 10);

-- What is known of each index: baselined, filter, volumes, format (of the pending events).
CREATE TABLE watcher.meta (
    watch bigint NOT NULL,
    key   text   NOT NULL,
    value text   NOT NULL,
    PRIMARY KEY (watch, key)
);

-- The indexes, ordered by path, so a subtree is a range; id is a bit in the bitmap of a scan. "gate"
-- says why a row is not that of an entry as it was last reported: a Gate of the model with its flags.
-- A path that is too long for a key ends in a digest, and stands in "long_path" (see keys.py).
CREATE TABLE watcher.entry (
    watch         bigint   NOT NULL,
    id            bigint   NOT NULL,
    size          bigint   NOT NULL,
    mtime_ns      bigint   NOT NULL,
    ctime_ns      bigint   NOT NULL,
    inode         bigint   NOT NULL,
    gate          smallint NOT NULL,
    is_link       bool     NOT NULL,
    path          bytea    NOT NULL,
    etag          text     NOT NULL,
    storage_class text     NOT NULL,
    long_path     bytea    NOT NULL,
    PRIMARY KEY (watch, path)
);
CREATE INDEX entry_link ON watcher.entry (watch, path) WHERE is_link;
CREATE INDEX entry_gate ON watcher.entry (watch, path, gate) WHERE gate <> 0;

-- The journals: payloads until they are confirmed, and while they may be replayed. seq is that of the
-- last change in a payload, committed_at in seconds since the epoch. Rows live for seconds, so they
-- are vacuumed early, and not compressed.
CREATE TABLE watcher.journal (
    watch           bigint NOT NULL,
    seq             bigint NOT NULL,
    committed_at    double precision NOT NULL,
    is_acknowledged bool   NOT NULL DEFAULT false,
    payload         bytea  NOT NULL,
    PRIMARY KEY (watch, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE watcher.journal ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX journal_acknowledged ON watcher.journal (watch, seq) WHERE is_acknowledged;

-- Rendered events that wait for their batch to fill and become part of a payload.
CREATE TABLE watcher.pending (
    watch bigint NOT NULL,
    seq   bigint NOT NULL,
    event bytea  NOT NULL,
    PRIMARY KEY (watch, seq)
);

-- The net change of an entry since its group was last completed: 1 created, 2 modified, 3 deleted.
CREATE TABLE watcher.group_change (
    watch     bigint   NOT NULL,
    kind      smallint NOT NULL,
    path      bytea    NOT NULL,
    long_path bytea    NOT NULL,
    PRIMARY KEY (watch, path)
);

-- The groups that have changed, and when each is due, in seconds since the epoch; NULL if not before
-- it changes again. The whole place has an empty path.
CREATE TABLE watcher.changed_group (
    watch     bigint NOT NULL,
    due       double precision,
    path      bytea  NOT NULL,
    long_path bytea  NOT NULL,
    PRIMARY KEY (watch, path)
);
CREATE INDEX changed_group_due ON watcher.changed_group (watch, due, path) WHERE due IS NOT NULL;
