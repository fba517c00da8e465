import { session } from '../domain/session.ts';
import { sha256 } from '../platform/crypto.ts';
import type { Actor, CommandDoor } from './door.ts';
import { streams } from './streams.ts';

/** A session that is to be. Milliseconds since the epoch. */
export interface NewSession {
  /** Whose it is. */
  readonly actor: Actor;
  /** Its name, which nobody has had before. */
  readonly name: string;
  /** What refreshes it; only a hash of it is stored. */
  readonly refreshSecret: string;
  readonly expiresAt: number;
  /** A password was given for it. */
  readonly login: boolean;
}

/** Starts a session. Answers the position. */
export async function startSession(
  door: CommandDoor,
  { actor, name, refreshSecret, expiresAt, login }: NewSession,
): Promise<bigint | null> {
  const { workspace, account } = actor;
  const refreshHash = sha256(refreshSecret);
  const { position } = await door.execute(
    session,
    streams.session(name),
    { command: 'StartSession', workspace, account, session: name, refreshHash, expiresAt, login },
    actor,
    { isNew: true },
  );
  return position;
}
