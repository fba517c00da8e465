import { createConfig, lintFromString } from '@redocly/openapi-core';
import t from 'tap';
import { z } from 'zod';
import type { Dialect } from '../../src/dialects/index.ts';
import { type CollectedRoute, documentOf, type OpenApiDocument } from '../../src/dialects/openapi.ts';
import { mergedDocument } from '../../src/dialects/openapi-merge.ts';
import { alpha, beta, testHost } from './host.ts';

/** What is wrong with a document by the OpenAPI 3.1 specification; nothing for a right one. */
async function problemsOf(document: unknown): Promise<string[]> {
  const config = await createConfig({
    rules: {
      struct: 'error',
      'no-unresolved-refs': 'error',
      'operation-operationId-unique': 'error',
      'operation-parameters-unique': 'error',
      'path-parameters-defined': 'error',
      'no-identical-paths': 'error',
      'no-ambiguous-paths': 'error',
      'no-path-trailing-slash': 'error',
      'path-not-include-query': 'error',
      'security-defined': 'off',
    },
  });
  const found = await lintFromString({ source: JSON.stringify(document), config });
  return found.map(({ ruleId, message, location }) => `${ruleId}: ${message} at ${location[0]?.pointer}`);
}

/** What the host serves. */
async function served(url: string): Promise<OpenApiDocument> {
  const answer = await fetch(url);
  t.equal(answer.status, 200);
  return (await answer.json()) as OpenApiDocument;
}

t.test('the check finds what is wrong', async (t) => {
  const wrong = {
    openapi: '3.1.0',
    info: { title: 'x', version: '1' },
    paths: { '/a/{b}': { get: { responses: { 200: {} } } } },
  };
  t.match(await problemsOf(wrong), [/^struct:/, /^path-parameters-defined:/]);
});

t.test("a dialect's document", async (t) => {
  const { url } = await testHost(t, { dialects: [alpha(), beta()] });
  const document = await served(`${url}/openapi/alpha.json`);
  t.strictSame(await problemsOf(document), []);
  t.match(document, { openapi: '3.1.0', info: { title: 'Alpha', description: 'Things.' }, tags: [{ name: 'things' }] });
  t.strictSame(Object.keys(document.paths), ['/api/v1/things', '/api/v1/things/{id}'], 'what says nothing is left out');
  const { post } = document.paths['/api/v1/things'] ?? {};
  t.match(post, {
    operationId: 'postApiV1Things',
    summary: 'Make a thing',
    security: [{ Token: [] }],
    requestBody: { required: true, content: { 'application/json': { schema: { type: 'object' } } } },
  });
  t.strictSame(Object.keys(post?.responses ?? {}), ['201', '400', '503'], 'its own answers and those of all routes');
  t.match(post?.responses[201], {
    description: 'Created',
    content: { 'application/json': { schema: { $ref: '#/components/schemas/TestThing' } } },
  });
  const body = post?.requestBody?.content['application/json']?.schema;
  t.notOk((body as { required?: unknown }).required, 'what has a default need not be sent');
  const item = document.paths['/api/v1/things/{id}'];
  t.match(item?.get?.parameters, [
    { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
    {
      name: 'limit',
      in: 'query',
      required: false,
      description: 'At most',
      schema: { type: 'integer', minimum: 1, maximum: 100, default: 50 },
    },
  ]);
  t.strictSame(item?.delete?.responses[204], { description: 'No Content' }, 'no body is no content');
  t.strictSame(item?.delete?.security, [], 'a public route');
  t.match(document.components.schemas.TestThing, {
    type: 'object',
    required: ['id', 'size'],
    properties: { size: { anyOf: [{ type: 'integer' }, { type: 'null' }] } },
  });
});

t.test('the merged document of the host', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha(), beta()] });
  const document = await served(`${url}/openapi.json`);
  t.strictSame(await problemsOf(document), []);
  t.ok(document.paths['/api/v1/things/{id}']?.get);
  t.ok(document.paths['/other/things/{name}']?.get);
  t.strictSame(Object.keys(document.components.schemas).sort(), [
    'alpha.TestProblem',
    'alpha.TestThing',
    'beta.TestPlain',
  ]);
  t.strictSame(Object.keys(document.components.securitySchemes), ['alpha.Token', 'beta.Token']);
  t.strictSame(document.paths['/other/things/{name}']?.get?.security, [{ 'beta.Token': [] }]);
});

/** A dialect of nothing but routes for the document. */
function documented(name: string, routes: readonly CollectedRoute[]) {
  const dialect: Dialect = {
    name,
    title: name,
    description: '',
    securitySchemes: { Key: { type: 'http', scheme: 'bearer' } },
    register() {},
  };
  return { name, title: name, document: documentOf(dialect, routes, '1') };
}

function route(method: string, url: string, schema: object, security: string[] = ['Key']): CollectedRoute {
  return { methods: [method], url, schema, openapi: { summary: `${method} ${url}`, tags: ['x'], security } };
}

t.test('three dialects on one path', async (t) => {
  const one = route('POST', '/m/:id', {
    body: z.object({ a: z.string() }),
    querystring: z.object({ page: z.string(), both: z.string() }),
    response: { 200: z.object({ x: z.string() }), 400: z.object({ error: z.string() }) },
  });
  const two = route('POST', '/m/:messageId', {
    body: z.object({ b: z.number() }),
    querystring: z.object({ both: z.string(), size: z.number() }),
    response: { 201: z.object({ y: z.string() }), 400: z.object({ detail: z.string() }) },
  });
  const three = route('POST', '/m/:m', { body: z.object({ a: z.string() }), response: { 204: z.null() } }, []);
  const merged = mergedDocument(
    [
      documented('one', [one]),
      documented('two', [two, route('GET', '/m/:messageId', { response: { 200: z.object({}) } })]),
      documented('three', [three]),
    ],
    '1',
  );
  t.strictSame(await problemsOf(merged), []);
  t.strictSame(Object.keys(merged.paths), ['/m/{id}'], 'names of parameters do not tell paths apart');
  const post = merged.paths['/m/{id}']?.post;
  const bodies = post?.requestBody?.content['application/json']?.schema as { oneOf: { required: string[] }[] };
  t.strictSame(
    bodies.oneOf.map(({ required }) => required),
    [['a'], ['b']],
    'equal bodies count once',
  );
  t.strictSame(
    post?.parameters?.map(({ name, in: where, required }) => `${where} ${name} ${required}`),
    ['path id true', 'query page false', 'query both false', 'query size false'],
    'required only where all dialects require it',
  );
  t.strictSame(Object.keys(post?.responses ?? {}), ['200', '201', '204', '400']);
  t.match(post?.responses[400]?.content?.['application/json']?.schema, {
    oneOf: [{ required: ['error'] }, { required: ['detail'] }],
  });
  t.strictSame(post?.security, [{ 'one.Key': [] }, { 'two.Key': [] }, {}], 'or no credential at all');
  t.equal(post?.operationId, 'one.postMById-two.postMByMessageId-three.postMByM');
  t.match(merged.paths['/m/{id}']?.get?.parameters, [{ name: 'id', in: 'path' }]);
});

t.test('components: one name for each form of a schema', async (t) => {
  const inner = z.object({ n: z.number().default(1) }).meta({ id: 'OaInner' });
  const outer = z.object({ inner }).meta({ id: 'OaOuter', description: 'Holds one' });
  const tree = z.object({
    get children() {
      return z.array(tree);
    },
  });
  const { document } = documented('d', [
    route('POST', '/a', { body: outer, response: { 200: outer, 201: tree, '4xx': inner } }),
    route('PUT', '/a', {
      body: { content: { 'application/json': { schema: inner }, 'text/csv': { schema: z.string() } } },
    }),
    route('GET', '/files/*', { headers: z.object({ 'x-trace': z.string().optional(), authorization: z.string() }) }),
  ]);
  t.strictSame(await problemsOf(document), []);
  const { schemas } = document.components;
  const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  const post = document.paths['/a']?.post;
  const sent = post?.requestBody?.content['application/json']?.schema as { $ref: string };
  const received = post?.responses[200]?.content?.['application/json']?.schema as { $ref: string };
  t.not(sent.$ref, received.$ref, 'a default makes what is sent another schema than what is received');
  const nameOf = ({ $ref }: { $ref: string }) => $ref.slice($ref.lastIndexOf('/') + 1);
  const innerOf = (name: string) => (schemas[name] as { properties: { inner: { $ref: string } } }).properties.inner;
  const requiredOf = (name: string) => (schemas[name] as { required?: string[] }).required ?? [];
  t.strictSame(requiredOf(nameOf(innerOf(nameOf(sent)))), []);
  t.strictSame(requiredOf(nameOf(innerOf(nameOf(received)))), ['n']);
  t.equal(post?.responses[200]?.description, 'OK', 'a component describes itself');
  t.match(post?.responses['4XX']?.content?.['application/json']?.schema, innerOf(nameOf(received)));
  const recursive = post?.responses[201]?.content?.['application/json']?.schema as { $ref?: string };
  t.strictSame(recursive, reference('Nested'));
  t.match(schemas.Nested, { properties: { children: { items: reference('Nested') } } });
  t.notMatch(JSON.stringify(document), /\$defs/);
  t.strictSame(Object.keys(document.paths['/a']?.put?.requestBody?.content ?? {}), ['application/json', 'text/csv']);
  t.match(document.paths['/a']?.put?.requestBody?.content['application/json']?.schema, innerOf(nameOf(sent)));
  t.strictSame(
    document.paths['/files/{path}']?.get?.parameters?.map(({ name }) => name),
    ['path', 'x-trace'],
    'what HTTP itself describes is no parameter',
  );
});

t.test('a schema that is not zod is a defect that is told at the start', async (t) => {
  t.throws(() => documented('d', [route('POST', '/a', { body: { type: 'object' } })]), /neither zod/);
});
