-- The state of all watches in one database. Each "-- version N" part migrates it from version N-1,
-- in one transaction with its record in "setting". A released part is never edited; a change is a
-- new part. "watcher." stands for the schema that the URL names.
--
-- From version 2 on, programs of two versions use the tables side by side: a part adds what the
-- program before can do without, and takes away only what that one no longer needs.

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

-- version 2

-- A program of version 1 opens nothing from now on, since its lease is taken for ever, and cannot write
-- what it has opened. No tenure of it is as high as that of the watches.
UPDATE watcher.lease SET server = 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    name = 'watcher of a newer version', node = '', tenure = tenure + 1,
    taken_at = clock_timestamp(), lease_until = 'infinity';
UPDATE watcher.counters SET epoch = epoch + 1 + floor(random() * 1000000000)::int8,
    tenure = 9223372036854775807;
ALTER TABLE watcher.counters ALTER tenure SET DEFAULT 9223372036854775807;

-- The servers that use the database; one lives while its lease has not run out. Times are those of
-- the database's clock.
CREATE TABLE watcher.server (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,                 -- for people
    node         text NOT NULL,                 -- where it runs; empty if it is not known
    version      text NOT NULL,                 -- of the program
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until  timestamptz NOT NULL,
    is_leaving   bool   NOT NULL DEFAULT false, -- it takes no more watches
    is_exclusive bool   NOT NULL DEFAULT false, -- a program that works alone: servers stand by
    watches      bigint NOT NULL DEFAULT 0,     -- which it owns
    entries      bigint NOT NULL DEFAULT 0,     -- in their indexes
    streams      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

-- The owner of a watch alone reads its place; NULL: nobody. "streams" are those on the owner, for
-- people and for those who would replace the document. "rewinds" counts revocations of confirmations,
-- "readings" these and the joins of streams on followers, "acknowledgements" what consumers have
-- confirmed: so that each of them is noticed, whether or not there was news of it. "queue" is a digest
-- of the queue that the owner reads, which no other watch may read meanwhile; NULL without one. That of
-- a watch without an owner that lives is free.
ALTER TABLE watcher.counters ADD owner uuid;
ALTER TABLE watcher.counters ADD streams bigint NOT NULL DEFAULT 0;
ALTER TABLE watcher.counters ADD rewinds bigint NOT NULL DEFAULT 0;
ALTER TABLE watcher.counters ADD readings bigint NOT NULL DEFAULT 0;
ALTER TABLE watcher.counters ADD acknowledgements bigint NOT NULL DEFAULT 0;
ALTER TABLE watcher.counters ADD queue text;
CREATE UNIQUE INDEX counters_queue ON watcher.counters (queue) WHERE queue IS NOT NULL;

-- The configuration as a client has sent it, so that any server can start the watch; empty if none
-- has since version 2. "document_version" rises when it is replaced. "node": only servers there see
-- the place; NULL: all may.
ALTER TABLE watcher.watch ADD document bytea NOT NULL DEFAULT '';
ALTER TABLE watcher.watch ADD document_version bigint NOT NULL DEFAULT 0;
ALTER TABLE watcher.watch ADD node text;
CREATE INDEX watch_uid ON watcher.watch (uid);
CREATE INDEX watch_renewed ON watcher.watch (id) WHERE former_ids <> '[]';

-- Streams of a watch on servers that do not own it, and up to where all of these streams of one
-- server have the journal: nothing beyond is confirmed while the server lives. "version" is the
-- number of "readings" at the last join or rewind: a position that was looked up before is not
-- written any more.
CREATE TABLE watcher.reader (
    watch     bigint NOT NULL,
    server    uuid   NOT NULL,
    streams   bigint NOT NULL,
    confirmed bigint NOT NULL,
    version   bigint NOT NULL,
    PRIMARY KEY (watch, server)
) WITH (fillfactor = 50);

-- What a server asks the owner of a watch to do, and the answer; both as JSON.
CREATE TABLE watcher.request (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    watch    bigint NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind     text   NOT NULL,
    argument text   NOT NULL,
    epoch    bigint,                            -- of the owner that has taken it; NULL: nobody yet
    answer   text                               -- NULL: not yet
);

-- What owners report of their watches, as JSON, for the pages of other servers. May be lost.
CREATE UNLOGGED TABLE watcher.status (
    watch  bigint PRIMARY KEY,
    at     double precision NOT NULL,           -- seconds since the epoch
    report text NOT NULL
) WITH (fillfactor = 50);
