/**
 * OpenAPI 3.1 documents, made from the zod schemas that routes check with and from what they say in `config.openapi`.
 * Bodies, parameters and answers are described as they stand on the wire: what is sent to us by the schema's input, what we
 * send by its output. Schemas with an id (`.meta({ id })`) become components.
 */
import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { Dialect, RouteDocument } from './dialect.ts';

/** Any JSON object. */
export type Json = { [name: string]: JsonValue };
export type JsonValue = string | number | boolean | null | JsonValue[] | Json;

/** An OpenAPI document, as far as it is put together here. */
export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly description: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonValue>>;
    readonly securitySchemes: Readonly<Record<string, JsonValue>>;
  };
}

export interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonValue;
}

/** Bodies by content type. */
export type Content = Readonly<Record<string, { readonly schema: JsonValue }>>;

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}

/** A route as it was registered. */
export interface CollectedRoute {
  readonly methods: readonly string[];
  /** As fastify writes it: `/projects/:id`. */
  readonly url: string;
  readonly schema?: unknown;
  readonly openapi?: RouteDocument | undefined;
}

/** The document of one dialect. Routes that say nothing about themselves, and HEAD, are left out. */
export function documentOf(dialect: Dialect, routes: readonly CollectedRoute[], version: string): OpenApiDocument {
  const components = new Components();
  const paths: Record<string, Record<string, Operation>> = {};
  for (const route of routes) {
    if (!route.openapi) continue;
    const path = pathTemplate(route.url);
    for (const method of route.methods) {
      if (method === 'HEAD') continue;
      paths[path] ??= {};
      paths[path][method.toLowerCase()] = operationOf(method, path, route, route.openapi, dialect, components);
    }
  }
  const tags = new Set(Object.values(paths).flatMap((path) => Object.values(path).flatMap(({ tags }) => tags)));
  return {
    openapi: '3.1.0',
    info: { title: dialect.title, description: dialect.description, version },
    servers: [{ url: '/' }],
    tags: [...tags].map((name) => ({ name })),
    paths,
    components: { schemas: components.schemas, securitySchemes: dialect.securitySchemes as Record<string, Json> },
  };
}

/** `/a/:b` as `/a/{b}`; a pattern behind the name is left out, a wildcard is called `path`. */
function pathTemplate(url: string): string {
  const trimmed = url.length > 1 ? url.replace(/\/$/, '') : url;
  return trimmed.replace(/:([A-Za-z_]\w*)(\([^)]*\))?\??/g, '{$1}').replace(/\*$/, '{path}');
}

interface RouteSchema {
  readonly params?: unknown;
  readonly querystring?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly response?: Readonly<Record<string, unknown>>;
}

function operationOf(
  method: string,
  path: string,
  route: CollectedRoute,
  document: RouteDocument,
  dialect: Dialect,
  components: Components,
): Operation {
  const schema = (route.schema ?? {}) as RouteSchema;
  const parameters = [
    ...pathParameters(path, schema.params, components),
    ...parametersOf('query', schema.querystring, components),
    ...parametersOf('header', schema.headers, components),
  ];
  return {
    operationId: operationId(method, path),
    summary: document.summary,
    ...(document.description !== undefined && { description: document.description }),
    tags: document.tags,
    security: document.security.map((name) => ({ [name]: [] })),
    ...(parameters.length > 0 && { parameters }),
    ...(schema.body !== undefined && {
      requestBody: { required: isRequired(schema.body), content: contentOf(schema.body, 'input', components) ?? {} },
    }),
    responses: responsesOf(schema.response, dialect, components),
  };
}

/** `getProjectsByProjectIdKeys`: unique, since no two operations share method and path. */
function operationId(method: string, path: string): string {
  const words = path
    .split('/')
    .filter((part) => part !== '')
    .map((part) => (part.startsWith('{') ? `by-${part.slice(1, -1)}` : part));
  const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
  const camel = words.flatMap((word) => word.split(/[^A-Za-z0-9]+/)).map(capital);
  return method.toLowerCase() + camel.join('');
}

/** Those that HTTP itself describes; OpenAPI ignores them as parameters (section 4.8.12.1). */
const ignoredHeaders = new Set(['accept', 'content-type', 'authorization', 'cookie']);

function parametersOf(where: 'query' | 'header', schema: unknown, components: Components): Parameter[] {
  if (!(schema instanceof z.ZodType)) return [];
  const { properties, required } = components.objectOf(schema);
  return Object.entries(properties)
    .filter(([name]) => where !== 'header' || !ignoredHeaders.has(name.toLowerCase()))
    .map(([name, each]) => parameter(name, where, required.includes(name), each));
}

function pathParameters(path: string, schema: unknown, components: Components): Parameter[] {
  const { properties } = schema instanceof z.ZodType ? components.objectOf(schema) : { properties: {} as Json };
  return [...path.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) =>
    parameter(name, 'path', true, properties[name] ?? { type: 'string' }),
  );
}

function parameter(name: string, where: string, required: boolean, schema: JsonValue): Parameter {
  const { description, ...rest } = isObject(schema) ? schema : { description: undefined };
  const described = typeof description === 'string' && { description };
  return { name, in: where, required, ...described, schema: isObject(schema) ? (rest as Json) : schema };
}

function isRequired(body: unknown): boolean {
  return !(body instanceof z.ZodType) || !body.safeParse(undefined).success;
}

/** The forms that fastify takes a body's or an answer's schema in. */
interface ByContentType {
  readonly description?: string;
  readonly content: Readonly<Record<string, { readonly schema: unknown }>>;
}

function isByContentType(schema: unknown): schema is ByContentType {
  return isObject(schema) && !(schema instanceof z.ZodType) && isObject(schema.content);
}

/** Nothing for a schema that stands for no body at all. */
function contentOf(schema: unknown, io: 'input' | 'output', components: Components): Content | undefined {
  const isEmpty = [z.ZodNull, z.ZodUndefined, z.ZodVoid, z.ZodNever].some((type) => schema instanceof type);
  if (isEmpty) return undefined;
  if (schema instanceof z.ZodType) return { 'application/json': { schema: components.json(schema, io) } };
  if (!isByContentType(schema)) throw new TypeError('a schema of a route is neither zod nor by content type');
  const types = Object.entries(schema.content).map(([type, each]) => {
    if (!(each.schema instanceof z.ZodType)) throw new TypeError(`the schema for ${type} is not zod`);
    return [type, { schema: components.json(each.schema, io) }] as const;
  });
  return Object.fromEntries(types);
}

function responsesOf(
  own: Readonly<Record<string, unknown>> = {},
  dialect: Dialect,
  components: Components,
): Operation['responses'] {
  const all: Readonly<Record<string, unknown>> = { ...dialect.commonResponses, ...own };
  const responses = Object.entries(all).map(([status, schema]) => {
    const content = contentOf(schema, 'output', components);
    const code = status.toUpperCase();
    return [code, { description: descriptionOf(code, schema), ...(content && { content }) }] as const;
  });
  return Object.fromEntries(responses);
}

function descriptionOf(status: string, schema: unknown): string {
  const own = isObject(schema) ? schema.description : undefined;
  // A component describes itself; what a status means is said by HTTP.
  const isNamed = schema instanceof z.ZodType && z.globalRegistry.get(schema)?.id !== undefined;
  return typeof own === 'string' && !isNamed ? own : (STATUS_CODES[status] ?? status);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const localDefinition = '#/$defs/';
const recursiveRoot = '__root';

/** The components of one document: schemas with an id, and those that refer to themselves. */
class Components {
  readonly schemas: Record<string, JsonValue> = {};
  /** Name of each component, by what it and everything it refers to look like. */
  readonly #names = new Map<string, string>();

  /** A schema as it stands in the document, components by reference. */
  json(schema: z.ZodType, io: 'input' | 'output'): JsonValue {
    const { $schema: _, $defs = {}, ...root } = jsonSchema(schema, io);
    // In a document `#` would be the document: a schema that refers to itself has to become a component.
    const isRecursive = JSON.stringify(root).includes('"$ref":"#"');
    const rest: Json = isRecursive ? { $ref: `${localDefinition}${recursiveRoot}` } : root;
    const definitions: Json = isRecursive ? { ...($defs as Json), [recursiveRoot]: root } : ($defs as Json);
    const names = new Map(Object.keys(definitions).map((id) => [id, this.#nameOf(id, definitions, io)]));
    for (const [id, name] of names) this.schemas[name] ??= withNames(definitions[id] as JsonValue, names);
    return withNames(rest, names);
  }

  /** The properties of an object schema that are sent to us. */
  objectOf(schema: z.ZodType): { readonly properties: Json; readonly required: readonly string[] } {
    const json = this.json(schema, 'input');
    const reference = isObject(json) && typeof json.$ref === 'string' ? json.$ref : null;
    const object = reference === null ? json : this.schemas[reference.slice(reference.lastIndexOf('/') + 1)];
    if (!isObject(object) || !isObject(object.properties)) throw new TypeError('parameters need an object schema');
    return { properties: object.properties, required: (object.required ?? []) as string[] };
  }

  /** One schema may look different when it is sent and when it is received: the second form gets a name of its own. */
  #nameOf(id: string, definitions: Json, io: 'input' | 'output'): string {
    const looks = JSON.stringify([...reachable(id, definitions)].map((each) => [each, definitions[each] as JsonValue]));
    const known = this.#names.get(looks);
    if (known !== undefined) return known;
    const base = id.startsWith('__') ? 'Nested' : id;
    const taken = new Set(this.#names.values());
    const candidates = [base, `${base}${io === 'input' ? 'Input' : 'Output'}`];
    let name = candidates.find((each) => !taken.has(each));
    for (let n = 2; name === undefined; n++) if (!taken.has(`${base}${n}`)) name = `${base}${n}`;
    this.#names.set(looks, name);
    return name;
  }
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  return z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
}

/** A definition and all that it refers to. */
function reachable(id: string, definitions: Json, found = new Set<string>()): Set<string> {
  if (found.has(id)) return found;
  found.add(id);
  for (const [, name = ''] of JSON.stringify(definitions[id]).matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)) {
    reachable(name, definitions, found);
  }
  return found;
}

/** References to local definitions become references to components. */
function withNames(value: JsonValue, names: ReadonlyMap<string, string>): JsonValue {
  return mapReferences(value, (reference) => {
    const id = reference === '#' ? recursiveRoot : reference.slice(localDefinition.length);
    const name = reference === '#' || reference.startsWith(localDefinition) ? names.get(id) : undefined;
    return name === undefined ? reference : `#/components/schemas/${name}`;
  });
}

/** A copy with every `$ref` mapped. */
export function mapReferences(value: JsonValue, map: (reference: string) => string): JsonValue {
  if (Array.isArray(value)) return value.map((element) => mapReferences(element, map));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, each]) => [
    name,
    name === '$ref' && typeof each === 'string' ? map(each) : mapReferences(each, map),
  ]);
  return Object.fromEntries(entries);
}
