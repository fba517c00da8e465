/**
 * One document out of those of all dialects. Components and operations carry the dialect's name. Where dialects answer the
 * same method of one path, the operation has the parameters, bodies, answers and credentials of all of them: `oneOf` for
 * bodies, and a parameter is required only if all require it.
 */
import {
  type Content,
  type Json,
  type JsonValue,
  mapReferences,
  type OpenApiDocument,
  type Operation,
  type Parameter,
} from './openapi.ts';

/** A dialect's document and its name. */
export interface NamedDocument {
  readonly name: string;
  readonly title: string;
  readonly document: OpenApiDocument;
}

/** Merges documents. With none, a document without paths. */
export function mergedDocument(documents: readonly NamedDocument[], version: string): OpenApiDocument {
  const paths: Record<string, Record<string, Operation>> = {};
  /** The path of the document, by what a path looks like without the names of its parameters. */
  const templates = new Map<string, string>();
  const schemas: Record<string, JsonValue> = {};
  const securitySchemes: Record<string, JsonValue> = {};
  for (const { name, document } of documents) {
    const own = prefixed(name, document);
    Object.assign(schemas, own.components.schemas);
    Object.assign(securitySchemes, own.components.securitySchemes);
    for (const [path, operations] of Object.entries(own.paths)) {
      const shape = path.replace(/\{[^}]+\}/g, '{}');
      const template = templates.get(shape) ?? path;
      templates.set(shape, template);
      paths[template] ??= {};
      for (const [method, operation] of Object.entries(operations)) {
        const there = paths[template][method];
        const renamed = withParameterNames(operation, path, template);
        paths[template][method] = there ? mergedOperation(there, renamed) : renamed;
      }
    }
  }
  const tags = new Set(documents.flatMap(({ document }) => document.tags.map((tag) => tag.name)));
  return {
    openapi: '3.1.0',
    info: {
      title: 'Parley',
      description: `All APIs of this server: ${documents.map(({ title }) => title).join(', ')}.`,
      version,
    },
    servers: [{ url: '/' }],
    tags: [...tags].map((name) => ({ name })),
    paths,
    components: { schemas, securitySchemes },
  };
}

/** The same document, its components and operations named after its dialect. */
function prefixed(name: string, document: OpenApiDocument): OpenApiDocument {
  const referred = mapReferences(document as unknown as Json, (reference) =>
    reference.replace('#/components/schemas/', `#/components/schemas/${name}.`),
  ) as unknown as OpenApiDocument;
  const named = <T>(entries: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(entries).map(([each, value]) => [`${name}.${each}`, value]));
  const operation = (each: Operation): Operation => ({
    ...each,
    operationId: `${name}.${each.operationId}`,
    security: each.security.map(named),
  });
  const paths = Object.entries(referred.paths).map(([path, operations]) => [
    path,
    Object.fromEntries(Object.entries(operations).map(([method, each]) => [method, operation(each)])),
  ]);
  return {
    ...referred,
    paths: Object.fromEntries(paths),
    components: {
      schemas: named(referred.components.schemas),
      securitySchemes: named(referred.components.securitySchemes),
    },
  };
}

/** Two paths that differ only in the names of their parameters are one: the first one's names count. */
function withParameterNames(operation: Operation, from: string, to: string): Operation {
  if (from === to || !operation.parameters) return operation;
  const namesOf = (path: string) => [...path.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) => name);
  const newNames = namesOf(to);
  const renames = new Map(namesOf(from).map((name, i) => [name, newNames[i] ?? name]));
  const parameters = operation.parameters.map((each) =>
    each.in === 'path' ? { ...each, name: renames.get(each.name) ?? each.name } : each,
  );
  return { ...operation, parameters };
}

function mergedOperation(a: Operation, b: Operation): Operation {
  const parameters = mergedParameters(a.parameters ?? [], b.parameters ?? []);
  const description = [a.description, b.description].filter((text) => text !== undefined).join('\n\n');
  const bodies = [a.requestBody, b.requestBody].filter((body) => body !== undefined);
  const isPublic = a.security.length === 0 || b.security.length === 0;
  const security = [...a.security, ...b.security];
  const optional = isPublic && !security.some((each) => Object.keys(each).length === 0) ? [{}] : [];
  return {
    operationId: `${a.operationId}-${b.operationId}`,
    summary: joined(a.summary, b.summary),
    ...(description !== '' && { description }),
    tags: [...new Set([...a.tags, ...b.tags])],
    security: security.length === 0 ? [] : [...security, ...optional],
    ...(parameters.length > 0 && { parameters }),
    ...(bodies.length > 0 && {
      requestBody: {
        required: bodies.length === 2 && bodies.every((body) => body.required),
        content: mergedContent(...bodies.map((body) => body.content)),
      },
    }),
    responses: mergedResponses(a.responses, b.responses),
  };
}

function joined(a: string, b: string): string {
  return a === b ? a : `${a} / ${b}`;
}

function mergedParameters(a: readonly Parameter[], b: readonly Parameter[]): Parameter[] {
  const key = (each: Parameter) => `${each.in} ${each.name}`;
  const others = new Map(b.map((each) => [key(each), each]));
  const merged = a.map((each) => {
    const other = others.get(key(each));
    others.delete(key(each));
    if (!other) return { ...each, required: each.in === 'path' };
    // Values that both take are common here (an id is a string to both), so that `oneOf` would refuse them.
    return { ...each, required: each.required && other.required, schema: either('anyOf', [each.schema, other.schema]) };
  });
  return [...merged, ...[...others.values()].map((each) => ({ ...each, required: each.in === 'path' }))];
}

function mergedResponses(a: Operation['responses'], b: Operation['responses']): Operation['responses'] {
  const statuses = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
  const merged = statuses.map((status) => {
    const both = [a[status], b[status]].filter((response) => response !== undefined);
    const contents = both.flatMap(({ content }) => (content ? [content] : []));
    const description = both.map((response) => response.description).reduce(joined);
    return [status, { description, ...(contents.length > 0 && { content: mergedContent(...contents) }) }] as const;
  });
  return Object.fromEntries(merged);
}

function mergedContent(...contents: readonly Content[]): Content {
  const types = [...new Set(contents.flatMap((content) => Object.keys(content)))];
  const merged = types.map((type) => {
    const schemas = contents.flatMap((content) => content[type]?.schema ?? []);
    return [type, { schema: either('oneOf', schemas) }] as const;
  });
  return Object.fromEntries(merged);
}

/** One of some schemas; equal ones count once, and choices are not nested. */
function either(word: 'oneOf' | 'anyOf', schemas: readonly JsonValue[]): JsonValue {
  const flat = schemas.flatMap((schema) => choicesOf(schema, word));
  const different = [...new Map(flat.map((schema) => [JSON.stringify(schema), schema])).values()];
  return different.length === 1 ? (different[0] as JsonValue) : { [word]: different };
}

/** The choices of a schema that is nothing but one. */
function choicesOf(schema: JsonValue, word: string): JsonValue[] {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return [schema];
  const choices = schema[word];
  return Array.isArray(choices) && Object.keys(schema).length === 1 ? choices : [schema];
}
