-- The main job on PostgreSQL: a batch as one statement, which commits itself. $1…$11 hold the intents, column by
-- column, each as the text of an array; $12 and $13 the issuer keys. An intent that fails never fails the batch: its
-- row says why.
--
-- Two gateways never deadlock: counters are locked first, in the order of pan_index, and trace numbers are inserted
-- after that, in their own order. Tables are read one key at a time, in LATERAL subqueries with a LIMIT, so that no
-- statistics can talk the planner into another way. Where another gateway has just stored one of our trace numbers, the insert fails as a
-- whole (unique_violation), and the batch is carried out again with that number known.
WITH intent AS (
    SELECT *
    FROM unnest(
        $1::text::text[], $2::text::text[], $3::text::bytea[], $4::text::bytea[], $5::text::bytea[],
        $6::text::bigint[], $7::text::bigint[], $8::text::text[], $9::text::boolean[], $10::text::text[],
        $11::text::text[]
    ) WITH ORDINALITY AS given (
        requestor_id, trace_no, digest, pan_index, unpredictable_number, issued_at_s, expires_at_s, month,
        stale, wanted_profile, app_dv, position
    )
),
issuer_key AS (
    SELECT * FROM unnest($12::text::text[], $13::text::text[]) AS given (profile, dki)
),
-- Each intent by itself, as contract §6 orders the checks; a trace number that is known is judged by the caller.
judged AS (
    SELECT
        intent.position, intent.requestor_id, intent.trace_no, intent.digest, intent.unpredictable_number,
        intent.issued_at_s, intent.expires_at_s, intent.app_dv, token.token_id, token.psn, token.expiry,
        token.service_code, token.discretionary, token.atc_before, issuer_key.profile, issuer_key.dki,
        first.digest AS first_digest, first.token_id AS first_token_id, first.atc AS first_atc,
        first.issued_at_s AS first_issued_at_s,
        CASE
            WHEN first.atc IS NOT NULL THEN '5001'
            WHEN intent.stale THEN '3006'
            WHEN token.token_id IS NULL OR token.requestor_id <> intent.requestor_id THEN '4001'
            WHEN token.state = 'deleted' THEN '4003'
            WHEN token.state <> 'active' THEN '4002'
            WHEN token.expiry COLLATE "C" < intent.month THEN '4004'
            WHEN token.atc_before >= 65535 THEN '4006'
            WHEN issuer_key.dki IS NULL THEN '9002'
        END AS refusal
    FROM (SELECT * FROM intent ORDER BY pan_index) AS intent
    LEFT JOIN LATERAL (
        SELECT
            token.token_id, token.requestor_id, token.state, token.expiry, token.psn, token.service_code,
            token.discretionary, token.profile, counter.atc AS atc_before
        FROM token JOIN counter ON counter.token_id = token.token_id
        WHERE token.pan_index = intent.pan_index
        LIMIT 1
        FOR UPDATE OF counter
    ) AS token ON TRUE
    LEFT JOIN LATERAL (
        SELECT digest, token_id, atc, issued_at_s FROM trace
        WHERE requestor_id = intent.requestor_id AND trace_no = intent.trace_no
        LIMIT 1
    ) AS first ON TRUE
    LEFT JOIN issuer_key ON issuer_key.profile = COALESCE(NULLIF(intent.wanted_profile, ''), token.profile)
),
-- The first good intent of a trace number makes the issue; later ones of the same number repeat it.
headed AS (
    SELECT *, MIN(position) FILTER (WHERE refusal IS NULL) OVER (PARTITION BY requestor_id, trace_no) AS head
    FROM judged
),
counted AS (
    SELECT *, atc_before + COUNT(*) FILTER (WHERE position = head) OVER (PARTITION BY token_id ORDER BY position) AS atc
    FROM headed
),
new_issue AS (
    SELECT * FROM counted WHERE position = head AND atc <= 65535
),
count_up AS (
    UPDATE counter SET atc = highest.atc
    FROM (SELECT token_id, MAX(atc) AS atc FROM new_issue GROUP BY token_id) AS highest
    WHERE counter.token_id = highest.token_id
),
store_trace AS (
    INSERT INTO trace (requestor_id, trace_no, digest, token_id, atc, issued_at_s)
    SELECT requestor_id, trace_no, digest, token_id, atc, issued_at_s FROM new_issue ORDER BY requestor_id, trace_no
),
store_issue AS (
    INSERT INTO issue (
        token_id, atc, requestor_id, trace_no, profile, dki, unpredictable_number, issued_at_s, expires_at_s,
        state, app_dv
    )
    SELECT
        token_id, atc, requestor_id, trace_no, profile, dki, unpredictable_number, issued_at_s, expires_at_s,
        'issued', app_dv
    FROM new_issue
)
SELECT
    refusal, head, atc, token_id, psn, expiry, service_code, discretionary, profile, dki,
    first_digest, first_token_id, first_atc, first_issued_at_s
FROM counted
ORDER BY position
