/**
 * Frames of Phoenix channels (sheet, section 5), in the two spellings that clients speak. Version 1: an object of `topic`,
 * `event`, `payload`, `ref`. Version 2: an array of `join_ref`, `ref`, `topic`, `event`, `payload`.
 */

/** What a client names a frame of its own by; answers to it carry the same. */
export type Ref = string | number | null;

/** A frame of a client. */
export interface Frame {
  /** The join that it belongs to; always null in version 1. */
  readonly joinRef: Ref;
  readonly ref: Ref;
  readonly topic: string;
  readonly event: string;
  readonly payload: unknown;
}

/** How frames are spelled. */
export type Version = 1 | 2;

/** The spelling that a client asks for; null for one that is not spoken. None is version 1. */
export function versionOf(vsn: unknown): Version | null {
  if (vsn === undefined || vsn === '') return 1;
  const major = typeof vsn === 'string' ? /^([12])\.\d{1,3}\.\d{1,3}$/.exec(vsn)?.[1] : undefined;
  return major === undefined ? null : (Number(major) as Version);
}

/** Spells a frame. */
export function spell(version: Version, { joinRef, ref, topic, event, payload }: Frame): string {
  return JSON.stringify(version === 1 ? { topic, event, payload, ref } : [joinRef, ref, topic, event, payload]);
}

/** Reads a frame; null for what is none. */
export function readFrame(version: Version, text: string): Frame | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== (version === 2)) return null;
  if (version === 2) {
    const [joinRef, ref, topic, event, payload] = value as unknown[];
    return (value as unknown[]).length === 5 ? frameOf(joinRef, ref, topic, event, payload) : null;
  }
  const { topic, event, payload, ref } = value as Record<string, unknown>;
  return frameOf(null, ref, topic, event, payload);
}

function frameOf(joinRef: unknown, ref: unknown, topic: unknown, event: unknown, payload: unknown): Frame | null {
  const own = ref ?? null;
  const join = joinRef ?? null;
  if (typeof topic !== 'string' || typeof event !== 'string' || !isRef(own) || !isRef(join)) return null;
  return { joinRef: join, ref: own, topic, event, payload };
}

function isRef(value: unknown): value is Ref {
  return value === null || typeof value === 'string' || typeof value === 'number';
}
