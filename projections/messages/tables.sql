-- Written thousands of times a second. Of its indexes a new row meets four, each at an end of the index or of one room's or
-- sender's part of it. Positions and ids rise together in a room; what was erased has lost its position, hence both.
-- 1 M messages of 90 characters in 2,000 rooms, batches of 1,000: 28 to 50 us a row, 172 MB of rows, 149 MB of indexes.
-- No trigram index serves searches: with one the same took 180 to 250 us a row. They read the rooms looked through, 2.5 us a row.
CREATE TABLE messages (
  posted_at timestamptz NOT NULL,
  edited_at timestamptz,
  deleted_at timestamptz,
  position bigint,
  edited_position bigint,
  deleted_position bigint,
  workspace integer NOT NULL,
  message integer NOT NULL,
  room integer NOT NULL,
  sender integer NOT NULL,
  profile_revision integer NOT NULL,
  device integer,
  reply_to integer,
  reply_edit integer,
  forwarded_from integer,
  audience_total integer,
  edits integer NOT NULL,
  deleted_by integer,
  hidden boolean NOT NULL,
  deleted boolean NOT NULL,
  erased boolean NOT NULL,
  kind text NOT NULL,
  label text,
  sender_name text,
  content text,
  body jsonb,
  meta jsonb,
  audience integer[],
  PRIMARY KEY (workspace, message)
);
CREATE INDEX messages_room ON messages (workspace, room, message);
CREATE INDEX messages_posted ON messages (workspace, room, position) WHERE position IS NOT NULL;
CREATE INDEX messages_edited ON messages (workspace, room, edited_position) WHERE edited_position IS NOT NULL;
CREATE INDEX messages_deleted ON messages (workspace, room, deleted_position) WHERE deleted_position IS NOT NULL;
CREATE INDEX messages_sender ON messages (workspace, sender, message) WHERE NOT erased;
CREATE INDEX messages_to_erase ON messages (workspace, room, message) WHERE deleted AND NOT erased;
COMMENT ON TABLE messages IS 'Messages: what accounts said in rooms. A deleted one is a tombstone from its deletion on.';
COMMENT ON COLUMN messages.message IS 'Number of the message within its workspace; rises with the log.';
COMMENT ON COLUMN messages.position IS 'Position of the event that posted it; null once erased.';
COMMENT ON COLUMN messages.edited_position IS 'Position of its latest edit; null once erased.';
COMMENT ON COLUMN messages.deleted_position IS 'Position of the event that deleted it for everyone; null where it went with its room, sender or workspace.';
COMMENT ON COLUMN messages.profile_revision IS 'Revision of the sender''s account that its poster''s node saw: see account_names.';
COMMENT ON COLUMN messages.reply_to IS 'The message that it answers, which had been edited reply_edit times.';
COMMENT ON COLUMN messages.forwarded_from IS 'The message that it is a copy of.';
COMMENT ON COLUMN messages.audience IS 'Accounts that are shown it, frozen when it was posted; null where the room''s membership decides.';
COMMENT ON COLUMN messages.audience_total IS 'How many it waits for, where its audience was frozen.';
COMMENT ON COLUMN messages.edits IS 'How often it was edited.';
COMMENT ON COLUMN messages.hidden IS 'Some account deleted it for itself: see message_hidings.';
COMMENT ON COLUMN messages.kind IS 'text, file, poll, action, invite or custom.';
COMMENT ON COLUMN messages.label IS 'The word of its poster''s dialect for the type, else the medium of a file; null where kind says it.';
COMMENT ON COLUMN messages.sender_name IS 'A name that the poster gave in place of the sender''s own.';
COMMENT ON COLUMN messages.content IS 'The text that is shown, as it was last edited; null of a tombstone.';
COMMENT ON COLUMN messages.body IS 'What it says beyond its text: media, attachment, options, actions, invited.';
COMMENT ON COLUMN messages.deleted IS 'A tombstone: deleted for everyone.';
COMMENT ON COLUMN messages.erased IS 'Its content is gone from the log as well.';

CREATE TABLE message_hidings (
  workspace integer NOT NULL,
  message integer NOT NULL,
  account integer NOT NULL,
  room integer NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (workspace, message, account)
);
CREATE INDEX message_hidings_account ON message_hidings (workspace, account, position);
COMMENT ON TABLE message_hidings IS 'Messages that an account deleted for itself alone. Gone with the message.';

CREATE TABLE message_receipts (
  workspace integer NOT NULL,
  message integer NOT NULL,
  account integer NOT NULL,
  room integer NOT NULL,
  delivered_at timestamptz,
  read_at timestamptz,
  delivered_position bigint,
  read_position bigint,
  PRIMARY KEY (workspace, message, account)
) WITH (fillfactor = 70);
COMMENT ON TABLE message_receipts IS 'When each account first got and first read a message. Gone with the message.';

CREATE TABLE room_activity (
  workspace integer NOT NULL,
  room integer NOT NULL,
  message_count integer NOT NULL,
  restricted_count integer NOT NULL,
  last_message integer NOT NULL,
  last_message_at timestamptz NOT NULL,
  PRIMARY KEY (workspace, room)
) WITH (fillfactor = 50);
COMMENT ON TABLE room_activity IS 'What was said in each room that anything was said in: counts are of messages that were not deleted, the last message may have been.';
COMMENT ON COLUMN room_activity.restricted_count IS 'Messages of message_count that not every member is shown: with an audience, or deleted by some account for itself.';
COMMENT ON COLUMN room_activity.last_message_at IS 'When the latest was posted, deleted or not: what inactivity is reckoned from.';
