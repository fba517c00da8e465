CREATE TABLE held_receipts (
  stream text COLLATE "C" PRIMARY KEY,
  connector_type text NOT NULL,
  external_hash text NOT NULL,
  sender_hash text,
  status text NOT NULL,
  error text,
  received_at timestamptz NOT NULL
);
CREATE INDEX held_receipts_external ON held_receipts USING hash (external_hash);
CREATE INDEX held_receipts_received ON held_receipts (received_at);
COMMENT ON TABLE held_receipts IS 'Receipts of providers that matched no dispatch yet: kept for a day of the time that the log tells.';
COMMENT ON COLUMN held_receipts.external_hash IS 'Hash of the id that the provider gave the message.';
COMMENT ON COLUMN held_receipts.sender_hash IS 'Hash of the sender that the receipt names, null when it names none.';

CREATE TABLE receipts_time (
  one boolean PRIMARY KEY CHECK (one),
  told timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO receipts_time VALUES (true, '-infinity');
COMMENT ON TABLE receipts_time IS 'The latest time that the log has told, in whole minutes: what was held a day before it is gone.';
