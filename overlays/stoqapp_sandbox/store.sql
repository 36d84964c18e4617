-- What the sandbox was sent, what it answered, and the intents that came of it.
-- A request that stored an intent has the intent's id, any other its place among the refused.
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    intent_id INTEGER,
    refusal INTEGER,
    at REAL NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    shop TEXT NOT NULL,
    headers TEXT,
    body BLOB,
    status INTEGER,
    answer_headers TEXT,
    answer BLOB,
    fault TEXT,
    intent TEXT,
    -- What the intent is found by; ids of Shopify may have more digits than SQLite's integers.
    customer INTEGER,
    variant TEXT,
    market TEXT,
    channel TEXT,
    email TEXT,
    phone TEXT,
    push TEXT
);
CREATE INDEX places ON requests (shop, customer, variant) WHERE intent_id NOTNULL;
CREATE INDEX refusals ON requests (refusal) WHERE refusal NOTNULL;
CREATE INDEX emails ON requests (shop, email) WHERE email NOTNULL;
CREATE INDEX phones ON requests (shop, phone) WHERE phone NOTNULL;
CREATE INDEX pushes ON requests (shop, push) WHERE push NOTNULL;
-- Of the refused, the newest 1,000 keep headers, bodies and answers.
CREATE TRIGGER forget AFTER INSERT ON requests WHEN new.refusal > 1000 BEGIN
    UPDATE requests SET headers = NULL, body = NULL, answer_headers = NULL, answer = NULL
    WHERE refusal = new.refusal - 1000;
END;
-- "STOQ": marks the files that are ours; then the version of this form.
PRAGMA application_id = 0x53544F51;
PRAGMA user_version = 4;
