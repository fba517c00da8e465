import { z } from 'zod';

/** Positive integer id, below 2^31. 0 stands for the service account of a workspace. */
export const id = z.int().min(0).max(2_147_483_647);

/** Milliseconds since the epoch. */
export const millis = z.number();

/** An account, by workspace and number. */
export const accountRef = z.object({ workspace: id, account: id });

/** Each workspace's service account, who a master key acts as: its acts pass every policy of rooms. */
export const SERVICE_ACCOUNT = 0;

/** What a dialect's client attached, ours to keep and give back; bounded by what an event may hold. */
export const openMeta = z.record(z.string(), z.unknown());

/** Number of a stored file, counted per workspace. */
export const fileId = id;
