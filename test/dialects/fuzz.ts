/**
 * Generated requests against an OpenAPI document: values that its schemas allow, and values that they do not. Whatever
 * comes back has to be in the document: its status, and its body by the schema of that status.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';

/** A JSON Schema, as far as the arbitraries read it. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly additionalProperties?: Schema | boolean;
}

interface MediaType {
  readonly schema?: Schema;
}

interface Operation {
  readonly operationId?: string;
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly { name: string; in: string; required?: boolean; schema?: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, MediaType>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, MediaType>> }>>;
}

/** An OpenAPI 3.1 document, as far as it is read here. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

/** What a generated request can draw on to get past the first checks. */
export interface Ground {
  readonly base: string;
  /** Credentials to choose from, per name of a security scheme; each is a set of headers. */
  readonly credentials: Readonly<Record<string, readonly Readonly<Record<string, string>>[]>>;
  /** Values that exist, by name of parameter or property. */
  readonly known: Readonly<Record<string, readonly string[]>>;
}

/** One generated request. */
export interface Generated {
  readonly method: string;
  /** The path of the document. */
  readonly template: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** Something that should not have come back. */
export interface Finding {
  readonly request: Generated;
  readonly status: number;
  readonly body: string;
  readonly problem: string;
}

const nasty = [
  '',
  ' ',
  '0',
  '-1',
  '1e309',
  'null',
  '\u0000',
  '\ud800',
  '../..',
  '%00',
  "'; --",
  '😀'.repeat(50),
  'x'.repeat(5_000),
];

/** Anything a client could put where a value belongs. */
const anything = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 2 ** 53, [], {}, [[]], { a: { b: null } }, ...nasty),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.jsonValue({ maxDepth: 2 }),
);

/** Values of a schema, now and then of none. */
export function arbitraryOf(
  document: Document,
  schema: Schema | undefined,
  ground: Ground,
  name = '',
  depth = 0,
): fc.Arbitrary<unknown> {
  const known = ground.known[name];
  const valid = validOf(document, schema, ground, name, depth);
  const options: fc.WeightedArbitrary<unknown>[] = [
    { weight: known ? 3 : 8, arbitrary: valid },
    { weight: 1, arbitrary: anything },
  ];
  if (known) options.push({ weight: 8, arbitrary: fc.constantFrom<unknown>(...known) });
  return fc.oneof(...options);
}

function validOf(
  document: Document,
  schema: Schema | undefined,
  ground: Ground,
  name: string,
  depth: number,
): fc.Arbitrary<unknown> {
  if (!schema || depth > 6) return anything;
  if (schema.$ref) {
    const target = document.components?.schemas?.[schema.$ref.split('/').at(-1) ?? ''];
    return validOf(document, target, ground, name, depth + 1);
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const union = schema.anyOf ?? schema.oneOf;
  if (union) return fc.oneof(...union.map((each) => validOf(document, each, ground, name, depth + 1)));
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  switch (type) {
    case 'object':
      return objectOf(document, schema, ground, depth);
    case 'array':
      return fc.array(arbitraryOf(document, schema.items, ground, name, depth + 1), { maxLength: 5 });
    case 'string':
      return fc.string({ minLength: schema.minLength ?? 0, maxLength: Math.min(schema.maxLength ?? 30, 200) });
    case 'integer':
      return fc.integer({ min: schema.minimum ?? -10, max: Math.min(schema.maximum ?? 1_000, 2 ** 31 - 1) });
    case 'number':
      return fc.double({ min: schema.minimum ?? -1e6, max: schema.maximum ?? 1e6, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return anything;
  }
}

function objectOf(document: Document, schema: Schema, ground: Ground, depth: number): fc.Arbitrary<unknown> {
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return fc.dictionary(fc.string({ maxLength: 10 }), anything, { maxKeys: 4 });
  const model = Object.fromEntries(
    properties.map(([name, each]) => [name, arbitraryOf(document, each, ground, name, depth + 1)]),
  );
  const whole = fc.record(model, { requiredKeys: (schema.required ?? []).filter((name) => name in model) });
  return fc.oneof({ weight: 9, arbitrary: whole }, { weight: 1, arbitrary: fc.record(model, { requiredKeys: [] }) });
}

/** Under what name the values of a path's `id` are known: `connectorId` in `/connectors/{id}`. */
function knownName(template: string, name: string): string {
  const [, collection] = /\/(\w+)s\/\{id\}/.exec(template) ?? [];
  return name === 'id' && collection ? `${collection}Id` : name;
}

/** Requests for one operation. */
export function requestsFor(
  document: Document,
  template: string,
  method: string,
  ground: Ground,
): fc.Arbitrary<Generated> {
  const operation = document.paths[template]?.[method];
  if (!operation) throw new Error(`${method} ${template} is not in the document`);
  const parameters = (operation.parameters ?? []).map((parameter) => ({
    ...parameter,
    value: arbitraryOf(document, parameter.schema, ground, knownName(template, parameter.name)).map((value) =>
      typeof value === 'string' ? value : JSON.stringify(value),
    ),
  }));
  const values = fc.record(Object.fromEntries(parameters.map(({ name, value }) => [name, value])), {
    requiredKeys: parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name),
  }) as fc.Arbitrary<Record<string, string | undefined>>;
  const schemes = (operation.security ?? []).flatMap((scheme) => Object.keys(scheme));
  const own = schemes.flatMap((scheme) => ground.credentials[scheme] ?? []);
  const every = Object.values(ground.credentials).flat();
  const credential = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom<Readonly<Record<string, string>>>(...(own.length > 0 ? own : [{}])) },
    { weight: 1, arbitrary: fc.constantFrom<Readonly<Record<string, string>>>({}, ...every) },
  );
  return fc
    .record({ values, credential, body: bodyOf(document, operation, ground) })
    .map(({ values, credential, body }) => {
      const query = new URLSearchParams();
      let path = template;
      for (const parameter of parameters) {
        const value = values[parameter.name];
        if (value === undefined) continue;
        if (parameter.in === 'path') path = path.replace(`{${parameter.name}}`, segmentOf(value.toWellFormed()));
        if (parameter.in === 'query') query.append(parameter.name, value.toWellFormed());
      }
      const search = query.size > 0 ? `?${query}` : '';
      return {
        method: method.toUpperCase(),
        template,
        path: `${path}${search}`,
        headers: { ...credential, ...body.headers },
        body: body.text,
      };
    });
}

interface Body {
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string | undefined;
}

function bodyOf(document: Document, operation: Operation, ground: Ground): fc.Arbitrary<Body> {
  const content = Object.entries(operation.requestBody?.content ?? {});
  if (content.length === 0) return fc.constant({ headers: {}, text: undefined });
  const proper = content.map(([type, { schema }]) => {
    const headers = { 'content-type': type };
    return arbitraryOf(document, schema, ground).map((value): Body => {
      if (type === 'application/x-www-form-urlencoded') {
        return {
          headers,
          text: new URLSearchParams(Object.entries(Object(value)).map(([k, v]) => [k, String(v)])).toString(),
        };
      }
      if (type === 'application/x-ndjson') {
        return {
          headers,
          text: (Array.isArray(value) ? value : [value]).map((line) => JSON.stringify(line)).join('\n'),
        };
      }
      return { headers, text: JSON.stringify(value) };
    });
  });
  const broken = fc.constantFrom<Body>(
    { headers: { 'content-type': 'application/json' }, text: '{"a":' },
    { headers: { 'content-type': 'application/json' }, text: '' },
    { headers: { 'content-type': 'application/json' }, text: '"x"' },
    { headers: { 'content-type': 'text/plain' }, text: 'x' },
    { headers: { 'content-type': 'application/xml' }, text: '<a/>' },
    { headers: {}, text: undefined },
  );
  return fc.oneof({ weight: 12, arbitrary: fc.oneof(...proper) }, { weight: 1, arbitrary: broken });
}

/** Compares answers with a document. */
export class Judge {
  readonly #document: Document;
  readonly #ajv: Ajv2020;
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #allowed: ReadonlySet<number>;

  /** `allowed` are the 5xx that may come. */
  constructor(document: Document, allowed: readonly number[]) {
    this.#document = document;
    this.#allowed = new Set(allowed);
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false });
    this.#ajv.addSchema({ $id: 'doc', components: document.components ?? {} });
  }

  /** Null when the answer is as the document has it. */
  judge(request: Generated, status: number, contentType: string | null, body: string): string | null {
    if (status >= 500 && !this.#allowed.has(status)) return `a ${status}`;
    const operation = this.#document.paths[request.template]?.[request.method.toLowerCase()];
    const response = operation?.responses[String(status)] ?? operation?.responses.default;
    if (!response) return `status ${status} is not in the document`;
    const media = contentType?.split(';')[0]?.trim() ?? '';
    if (!response.content) return body === '' ? null : 'the document has no body for this status';
    const described = response.content[media];
    if (!described) return `content type ${media || 'none'} is not in the document for ${status}`;
    if (!described.schema || !media.endsWith('json')) return null;
    if (media.endsWith('ndjson')) return null;
    let value: unknown;
    try {
      value = JSON.parse(body);
    } catch {
      return 'the body is no JSON';
    }
    const validate = this.#validator(`${request.method} ${request.template} ${status} ${media}`, described.schema);
    return validate(value) ? null : `the body is not of its schema: ${this.#ajv.errorsText(validate.errors)}`;
  }

  #validator(name: string, schema: Schema): ValidateFunction {
    let known = this.#validators.get(name);
    if (!known) {
      known = this.#ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"doc#/components/')));
      this.#validators.set(name, known);
    }
    return known;
  }
}

/** Sends a generated request. */
export async function send(
  base: string,
  request: Generated,
): Promise<{ status: number; contentType: string | null; body: string }> {
  const response = await fetch(`${base}${request.path}`, {
    method: request.method,
    headers: request.headers,
    redirect: 'manual',
    ...(request.body !== undefined && request.method !== 'GET' && { body: request.body.toWellFormed() }),
  });
  return { status: response.status, contentType: response.headers.get('content-type'), body: await response.text() };
}

/** A text as one segment of a path: nothing and dots alone would be taken out of it before it is sent. */
function segmentOf(text: string): string {
  return /^\.{0,2}$/.test(text) ? `${text}%20` : encodeURIComponent(text);
}
