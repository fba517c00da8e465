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
