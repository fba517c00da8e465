/**
 * The compose file as Compose would take it, as far as that goes without Compose: merge keys, interpolation, and the part of
 * the Compose specification (compose-spec.io, "Services", "Deploy", "Build", "Networks", "Volumes") that the file uses.
 * Every object is strict: what is not listed here is a typo, or is to be added knowingly.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

/** The repository. */
export const root = path.resolve(import.meta.dirname, '../..');

const durationText = z.string().regex(/^(\d+(us|ms|s|m|h))+$/);
const sizeText = z.string().regex(/^\d+(b|k|kb|m|mb|g|gb)$/i);
const limits = z.strictObject({
  cpus: z
    .string()
    .regex(/^\d+(\.\d+)?$/)
    .optional(),
  memory: sizeText.optional(),
});

const service = z
  .strictObject({
    image: z.string().optional(),
    build: z.strictObject({ context: z.string() }).optional(),
    command: z.array(z.string()).optional(),
    environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string()).optional(),
    networks: z.array(z.string()).min(1),
    ports: z.array(z.string()).optional(),
    expose: z.array(z.string().regex(/^\d+$/)).optional(),
    volumes: z.array(z.string().regex(/^[^:]+:\/[^:]+(:ro)?$/)).optional(),
    tmpfs: z.array(z.string().startsWith('/')).optional(),
    depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).optional(),
    healthcheck: z.strictObject({
      test: z.array(z.string()).refine(([kind]) => kind === 'CMD' || kind === 'CMD-SHELL'),
      interval: durationText,
      timeout: durationText,
      retries: z.int().positive(),
      start_period: durationText.optional(),
    }),
    deploy: z.strictObject({
      replicas: z.int().positive().optional(),
      resources: z.strictObject({ limits, reservations: limits.optional() }),
    }),
    restart: z.enum(['no', 'always', 'on-failure', 'unless-stopped']),
    stop_grace_period: durationText.optional(),
    ulimits: z.record(z.string(), z.int().positive()).optional(),
    user: z.string().optional(),
    init: z.boolean().optional(),
    read_only: z.boolean().optional(),
    cap_drop: z.array(z.string()).optional(),
    security_opt: z.array(z.string()).optional(),
    shm_size: sizeText.optional(),
  })
  .refine(({ image, build }) => image !== undefined || build !== undefined, 'a service has an image or is built');

const compose = z.looseObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]*$/),
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.strictObject({ internal: z.boolean().optional() }).nullable()),
  volumes: z.record(z.string(), z.null()),
});

/** A compose file that was read. */
export type Compose = z.infer<typeof compose>;
export type Service = z.infer<typeof service>;

/** Variables to interpolate with. */
export type Variables = Readonly<Record<string, string>>;

/** A required variable is not set, or empty: Compose stops with this line. */
export class MissingVariableError extends Error {
  readonly variable: string;
  constructor(variable: string, hint: string) {
    super(`required variable ${variable} is missing a value: ${hint}`);
    this.name = 'MissingVariableError';
    this.variable = variable;
  }
}

/** Fills in `$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?hint}` (Compose specification, "Interpolation"). */
export function interpolate(text: string, variables: Variables): string {
  return text.replace(
    /\$(?:\$|\{([A-Z0-9_]+)(?::([-?])([^}]*))?\}|)/g,
    (whole, name?: string, kind?: string, rest = '') => {
      if (whole === '$$') return '$';
      if (name === undefined) throw new Error(`not an interpolation: ${text}`);
      const value = variables[name] ?? '';
      if (value !== '' || kind === undefined) return value;
      if (kind === '?') throw new MissingVariableError(name, rest);
      return rest;
    },
  );
}

/** The text of a file of the repository. */
export function textOf(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

/** A YAML file of the repository. */
export function yamlOf(file: string): unknown {
  return parse(textOf(file), { merge: true });
}

/** Reads docker-compose.yml. Throws MissingVariableError, or a ZodError that says what is wrong where. */
export function readCompose(variables: Variables): Compose {
  const raw = yamlOf('docker-compose.yml') as Record<string, unknown>;
  const used = Object.fromEntries(Object.entries(raw).filter(([key]) => !key.startsWith('x-')));
  return compose.parse(filled(used, variables));
}

function filled(value: unknown, variables: Variables): unknown {
  if (typeof value === 'string') return interpolate(value, variables);
  if (Array.isArray(value)) return value.map((each) => filled(each, variables));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, filled(each, variables)]));
}

/** The lines `NAME=value` of a file for Compose's `--env-file`. */
export function envFile(file: string): Record<string, string> {
  const lines = textOf(file).split('\n');
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
      return match ? [[match[1], match[2]]] : [];
    }),
  ) as Record<string, string>;
}
