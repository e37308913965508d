-- One state file: the index, the journal and the cursor of one watch.
-- Each "-- version N" part migrates a file from version N-1, in one transaction with PRAGMA
-- user_version. A released part is never edited, nor are the comments within its statements, which
-- SQLite stores with them; a change is a new part.

-- version 1

-- The identity (principal, name, place), uid, used_at, and what is known of the index: baselined,
-- filter, identity (of the file system), format (of the pending events).
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The counters that every commit may change; a single row.
CREATE TABLE counters (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    next_id  INTEGER NOT NULL, -- of the next entry
    entries  INTEGER NOT NULL, -- rows in entry
    next_seq INTEGER NOT NULL, -- of the next change
    cursor   INTEGER NOT NULL  -- last confirmed sequence number
);
INSERT INTO counters VALUES (1, 0, 0, 1, 0);

-- The index, ordered by path, so a subtree is a range; id is a bit in the bitmap of a scan.
CREATE TABLE entry (
    id            INTEGER NOT NULL,
    path          BLOB    NOT NULL PRIMARY KEY,
    size          INTEGER NOT NULL,
    mtime_ns      INTEGER NOT NULL,
    ctime_ns      INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    etag          TEXT    NOT NULL,
    storage_class TEXT    NOT NULL,
    is_link       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX entry_link ON entry (path) WHERE is_link;

-- The journal: payloads until they are confirmed. seq is that of the last change in a payload.
CREATE TABLE journal (
    seq     INTEGER NOT NULL PRIMARY KEY,
    payload BLOB    NOT NULL
);

-- Rendered events that wait for their batch to fill and become part of a payload.
CREATE TABLE pending (
    seq   INTEGER NOT NULL PRIMARY KEY,
    event BLOB    NOT NULL
);

-- version 2

-- When a payload was committed, in seconds since the epoch, and whether it was acknowledged while
-- an earlier one was not. Payloads up to the cursor are kept while they may be replayed.
ALTER TABLE journal ADD COLUMN committed_at REAL NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN is_acknowledged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX journal_acknowledged ON journal (seq) WHERE is_acknowledged;

-- version 3

-- The net change of an entry since its group was last completed: 1 created, 2 modified, 3 deleted.
CREATE TABLE group_change (
    path BLOB    NOT NULL PRIMARY KEY,
    kind INTEGER NOT NULL
) WITHOUT ROWID;

-- The groups that have changed, and when each is due, in seconds since the epoch; NULL if not before
-- it changes again. The whole place has an empty path.
CREATE TABLE changed_group (
    path BLOB NOT NULL PRIMARY KEY,
    due  REAL
) WITHOUT ROWID;
CREATE INDEX changed_group_due ON changed_group (due, path) WHERE due IS NOT NULL;

-- version 4

-- Why a row is not that of an entry as it was last reported: a Gate of the model with its flags.
ALTER TABLE entry ADD COLUMN gate INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entry_gate ON entry (path, gate) WHERE gate != 0;
