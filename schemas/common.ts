import { z } from 'zod';

/** Positive integer id, below 2^31. 0 stands for the service account of a workspace. */
export const id = z.int().min(0).max(2_147_483_647);

/** Milliseconds since the epoch. */
export const millis = z.number();

/** An account, by workspace and number. */
export const accountRef = z.object({ workspace: id, account: id });
