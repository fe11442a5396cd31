-- One description for both databases (docs/decisions/plain-sql-migrations.md). {bigint} and {bytes} are filled in
-- by schema.py; a statement under "-- only: sqlite" or "-- only: postgres" is left out for the other.
-- Times are seconds since the Unix epoch. Nothing here is a clear PAN, key, cryptogram or payload.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value {bigint} NOT NULL
);

INSERT INTO meta (name, value) VALUES ('directory_version', 1);

CREATE TABLE requestor (
    requestor_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    suspended INTEGER NOT NULL,
    sandbox INTEGER NOT NULL,
    hash_crc TEXT NOT NULL,
    crypto_types TEXT NOT NULL,
    networks TEXT NOT NULL,
    rate_limit_per_s INTEGER NOT NULL,
    token_rate_limit_per_s INTEGER NOT NULL,
    webhook_url TEXT NOT NULL,
    created_at_s {bigint} NOT NULL
);

CREATE TABLE credential (
    credential_id TEXT PRIMARY KEY,
    requestor_id TEXT NOT NULL REFERENCES requestor (requestor_id),
    digest {bytes} NOT NULL UNIQUE,
    created_at_s {bigint} NOT NULL,
    revoked_at_s {bigint}
);

CREATE TABLE wrapped_key (
    purpose TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL,
    kcv TEXT NOT NULL,
    wrapped {bytes} NOT NULL,
    kek_id TEXT NOT NULL,
    created_at_s {bigint} NOT NULL,
    activated_at_s {bigint},
    retired_at_s {bigint},
    PRIMARY KEY (purpose, owner, name, version)
);

CREATE TABLE token (
    token_id {bigint} PRIMARY KEY,
    pan_index {bytes} NOT NULL UNIQUE,
    requestor_id TEXT NOT NULL,
    state TEXT NOT NULL,
    expiry TEXT NOT NULL,
    psn TEXT NOT NULL,
    service_code TEXT NOT NULL,
    discretionary TEXT NOT NULL,
    profile TEXT NOT NULL,
    pan_sealed {bytes} NOT NULL,
    vault_key_ver TEXT NOT NULL,
    pan_masked TEXT NOT NULL,
    funding_ref TEXT NOT NULL,
    created_at_s {bigint} NOT NULL
);

CREATE INDEX token_by_requestor ON token (requestor_id, token_id);

-- The one value of a token that changes with each issue lies apart: hundreds of counters fit a page and a dozen
-- tokens do, so that a batch writes far fewer pages. In PostgreSQL room is left in each page for new row versions,
-- so that counting up touches no index.
CREATE TABLE counter (
    token_id {bigint} PRIMARY KEY,
    atc INTEGER NOT NULL
) {room_for_updates};

-- In SQLite a rowid table: rows are appended in the order of time, which the purge walks, and only the small index
-- entries go all over the place.
-- only: sqlite
CREATE TABLE issue (
    token_id INTEGER NOT NULL,
    atc INTEGER NOT NULL,
    requestor_id TEXT NOT NULL,
    trace_no TEXT NOT NULL,
    profile TEXT NOT NULL,
    dki TEXT NOT NULL,
    unpredictable_number BLOB NOT NULL,
    issued_at_s INTEGER NOT NULL,
    expires_at_s INTEGER NOT NULL,
    state TEXT NOT NULL,
    app_dv TEXT NOT NULL,
    used_at_s INTEGER,
    PRIMARY KEY (token_id, atc)
);

-- only: postgres
CREATE TABLE issue (
    token_id BIGINT NOT NULL,
    atc INTEGER NOT NULL,
    requestor_id TEXT NOT NULL,
    trace_no TEXT NOT NULL,
    profile TEXT NOT NULL,
    dki TEXT NOT NULL,
    unpredictable_number BYTEA NOT NULL,
    issued_at_s BIGINT NOT NULL,
    expires_at_s BIGINT NOT NULL,
    state TEXT NOT NULL,
    app_dv TEXT NOT NULL,
    used_at_s BIGINT,
    PRIMARY KEY (token_id, atc, issued_at_s)
) PARTITION BY RANGE (issued_at_s);

-- only: postgres
CREATE TABLE issue_default PARTITION OF issue DEFAULT;

-- A trace number is unique over all days, whichever partition its issue is in: so it has a table of its own
-- (docs/decisions/trace-claims.md).
CREATE TABLE trace (
    requestor_id TEXT NOT NULL,
    trace_no TEXT NOT NULL,
    digest {bytes} NOT NULL,
    token_id {bigint} NOT NULL,
    atc INTEGER NOT NULL,
    issued_at_s {bigint} NOT NULL,
    PRIMARY KEY (requestor_id, trace_no)
) {without_rowid};

CREATE TABLE verification (
    authoriser_id TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    digest {bytes} NOT NULL,
    code TEXT NOT NULL,
    answer {bytes} NOT NULL,
    token_id {bigint},
    atc INTEGER,
    answered_at_s {bigint} NOT NULL,
    PRIMARY KEY (authoriser_id, authorization_id)
);

CREATE INDEX verification_by_time ON verification (answered_at_s);

CREATE TABLE audit (
    seq {bigint} PRIMARY KEY,
    at_s {bigint} NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    chain {bytes} NOT NULL
);

CREATE TABLE audit_head (
    only_row INTEGER PRIMARY KEY,
    seq {bigint} NOT NULL,
    chain {bytes} NOT NULL
);

INSERT INTO audit_head (only_row, seq, chain) VALUES (1, 0, {no_bytes});

CREATE TABLE event (
    event_id TEXT PRIMARY KEY,
    requestor_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body {bytes} NOT NULL,
    created_at_s {bigint} NOT NULL,
    next_at_s {bigint} NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    last_error TEXT NOT NULL
);

CREATE INDEX event_due ON event (next_at_s) WHERE state = 'pending';

-- only: postgres
CREATE TABLE purge_position (
    day BIGINT PRIMARY KEY,
    token_id BIGINT NOT NULL,
    atc INTEGER NOT NULL
);
