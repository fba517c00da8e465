CREATE TABLE rooms (
  workspace integer NOT NULL,
  room integer NOT NULL,
  kind text NOT NULL,
  name text,
  description text,
  avatar integer,
  join_policy text,
  post_policy text,
  visibility text,
  max_members integer,
  meta jsonb,
  creator integer,
  participant_count integer NOT NULL,
  inactive_reason text,
  inactive_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  deleted_at timestamptz,
  deleted_position bigint,
  erasing boolean NOT NULL,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, room)
) WITH (fillfactor = 80);
CREATE INDEX rooms_to_erase ON rooms (workspace, room) WHERE erasing AND NOT erased;
COMMENT ON TABLE rooms IS 'Rooms: conversations, private ones, groups, channels and support. How many messages each has stands in room_activity.';
COMMENT ON COLUMN rooms.avatar IS 'Number of a stored file.';
COMMENT ON COLUMN rooms.join_policy IS 'Who may start a membership of their own: open, invite or closed.';
COMMENT ON COLUMN rooms.post_policy IS 'Who may post: members, or admins.';
COMMENT ON COLUMN rooms.visibility IS 'Who may read: members, or public.';
COMMENT ON COLUMN rooms.max_members IS 'Null: no limit.';
COMMENT ON COLUMN rooms.creator IS 'The account that started it, a member or not; 0 is the service account.';
COMMENT ON COLUMN rooms.participant_count IS 'Memberships that last.';
COMMENT ON COLUMN rooms.inactive_reason IS 'Why it takes no messages; null while it does. Of rooms that are inactive for want of messages the rule at query time tells, not this.';
COMMENT ON COLUMN rooms.deleted IS 'Closed. It stays readable unless erasing.';
COMMENT ON COLUMN rooms.deleted_position IS 'Position of the event that deleted it.';
COMMENT ON COLUMN rooms.erasing IS 'It does not exist for any reader; its content is being erased.';
COMMENT ON COLUMN rooms.erased IS 'A tombstone: name, settings and memberships are gone.';

CREATE TABLE memberships (
  workspace integer NOT NULL,
  room integer NOT NULL,
  membership integer NOT NULL,
  account integer NOT NULL,
  roles jsonb NOT NULL,
  history_from timestamptz,
  hidden_until timestamptz,
  meta jsonb,
  started_at timestamptz NOT NULL,
  started_position bigint NOT NULL,
  ended_at timestamptz,
  ended_position bigint,
  PRIMARY KEY (workspace, room, membership)
);
CREATE INDEX memberships_account ON memberships (workspace, account, room);
CREATE INDEX memberships_member ON memberships (workspace, room, account) WHERE ended_position IS NULL;
CREATE INDEX memberships_started ON memberships (workspace, room, started_position);
CREATE INDEX memberships_ended ON memberships (workspace, room, ended_position) WHERE ended_position IS NOT NULL;
COMMENT ON TABLE memberships IS 'Memberships of rooms, ended ones too: who comes back has another. Gone with the room.';
COMMENT ON COLUMN memberships.membership IS 'Counts the memberships of the room from 1.';
COMMENT ON COLUMN memberships.roles IS 'Sorted set of owner and admin; empty for a plain member.';
COMMENT ON COLUMN memberships.history_from IS 'Messages from here on are shown; null: all.';
COMMENT ON COLUMN memberships.hidden_until IS 'The member hid what was posted up to here; null: nothing.';
COMMENT ON COLUMN memberships.started_position IS 'Position of the event that started it; ended_position likewise.';
COMMENT ON COLUMN memberships.ended_at IS 'Null while it lasts.';

CREATE TABLE watermarks (
  workspace integer NOT NULL,
  room integer NOT NULL,
  account integer NOT NULL,
  message integer NOT NULL,
  moved_at timestamptz NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (workspace, room, account)
) WITH (fillfactor = 70);
CREATE INDEX watermarks_moved ON watermarks (workspace, room, position);
COMMENT ON TABLE watermarks IS 'Up to which message each account has read each room. Gone with the room.';
COMMENT ON COLUMN watermarks.message IS 'The highest that it said so of, whatever the order.';
COMMENT ON COLUMN watermarks.position IS 'Position of the event that said so.';
