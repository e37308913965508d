-- One state file: the index, the journal and the cursor of one watch.
-- Each "-- version N" part brings a file of version N-1 to version N, in one transaction with PRAGMA user_version.
-- A part that has been released is never edited; a change is a new part.

-- version 1

-- What the file belongs to, and what is read rarely: uid, principal, name, place, spec, filter, baselined, …
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The counters that every commit may move; a single row.
CREATE TABLE counters (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    next_id  INTEGER NOT NULL, -- of the next entry
    entries  INTEGER NOT NULL, -- rows in entry
    next_seq INTEGER NOT NULL, -- of the next change
    cursor   INTEGER NOT NULL  -- last confirmed sequence number
);
INSERT INTO counters VALUES (1, 0, 0, 1, 0);

-- The index. Rows stand in the order of their paths, so a subtree is a range; id is the row's bit in the seen-bitmap of a scan.
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

-- The journal: payloads in order until they are confirmed. seq is that of the last change in the payload.
CREATE TABLE journal (
    seq     INTEGER NOT NULL PRIMARY KEY,
    payload BLOB    NOT NULL
);

-- Changes that still wait for their batch to fill: rendered, but not yet a payload.
CREATE TABLE pending (
    seq   INTEGER NOT NULL PRIMARY KEY,
    event BLOB    NOT NULL
);

-- version 2

-- When a payload was committed, in seconds since the epoch, and whether it was acknowledged before one that stands in front of it.
-- Those up to the cursor are kept for as long as they may be replayed.
ALTER TABLE journal ADD COLUMN committed_at REAL NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN is_acknowledged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX journal_acknowledged ON journal (seq) WHERE is_acknowledged;
