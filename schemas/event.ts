import type { z } from 'zod';

/** One event type: its current version, its shape, and how each older version becomes the next one. */
export interface EventDefinition<S extends z.ZodType = z.ZodType> {
  readonly version: number;
  readonly schema: S;
  /** `upcasters[n]` turns the data of version n into that of version n + 1. Pure. */
  readonly upcasters: Readonly<Record<number, (data: unknown) => unknown>>;
}

/** Defines an event type. A version above 1 needs an upcaster from every version below it. */
export function defineEvent<S extends z.ZodType>(
  schema: S,
  version = 1,
  upcasters: EventDefinition['upcasters'] = {},
): EventDefinition<S> {
  for (let v = 1; v < version; v++) {
    if (!upcasters[v]) throw new Error(`no upcaster from version ${v}`);
  }
  return { version, schema, upcasters };
}

/** An event in the log is of a type or a version that this code does not know: its consumer has to stop. */
export class UnknownEventError extends Error {
  constructor(type: string, version: number, known: number | undefined) {
    super(
      known === undefined
        ? `the log holds events of type ${type}, which this version of Parley does not know`
        : `the log holds ${type} of version ${version}, this version of Parley knows up to ${known}`,
    );
    this.name = 'UnknownEventError';
  }
}

/** What the log needs of the language: versions to store and a way to read old ones. */
export interface EventCodec {
  /** The version that new events of this type are stored with. Throws UnknownEventError. */
  versionOf(type: string): number;
  /** The data in the shape of the current version. Throws UnknownEventError. */
  upcast(type: string, version: number, data: unknown): unknown;
}

/** Makes the codec of a set of event definitions. */
export function eventCodec(definitions: Readonly<Record<string, EventDefinition>>): EventCodec {
  const known = new Map(Object.entries(definitions));
  return {
    versionOf(type) {
      const definition = known.get(type);
      if (!definition) throw new UnknownEventError(type, 0, undefined);
      return definition.version;
    },
    upcast(type, version, data) {
      const definition = known.get(type);
      if (!definition || version < 1 || version > definition.version)
        throw new UnknownEventError(type, version, definition?.version);
      let current = data;
      for (let v = version; v < definition.version; v++) current = definition.upcasters[v]?.(current);
      return current;
    },
  };
}
