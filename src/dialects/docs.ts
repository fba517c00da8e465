/**
 * The documents for people: Swagger UI at `/docs` (and `/api-docs`), ReDoc at `/redoc`, each with a choice of documents.
 * All that a page loads comes from this host, out of npm packages; a content security policy holds it to that.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { OpenApiDocument } from './openapi.ts';
import type { NamedDocument } from './openapi-merge.ts';

/** ReDoc builds its search in a worker made from a blob, both style their elements in place, and icons are data. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  'worker-src blob:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Our own scripts and styles change with the version; those of the packages do too, and are large. */
const ownMaxAgeSeconds = 300;
const packageMaxAgeMs = 86_400_000;

const resolve = createRequire(import.meta.url).resolve;
const swaggerFolder = dirname(resolve('swagger-ui-dist/package.json'));
const redocFile = join(dirname(resolve('redoc/package.json')), 'bundles', 'redoc.standalone.js');

/** What of the packages is served, by name. */
const packageFiles: Readonly<Record<string, string>> = {
  'swagger-ui.css': swaggerFolder,
  'swagger-ui-bundle.js': swaggerFolder,
  'swagger-ui-standalone-preset.js': swaggerFolder,
  'favicon-32x32.png': swaggerFolder,
};

/** ReDoc shows its logo from another host, which the policy would forbid; an empty image stands there instead. */
const redocLogo = 'https://cdn.redoc.ly/redoc/logo-mini.svg';
const emptyImage = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E`;

/** Registers the documents and their pages. Needs `reply.sendFile`. */
export function registerDocs(app: FastifyInstance, documents: readonly NamedDocument[], merged: OpenApiDocument): void {
  const choice = [
    ...documents.map(({ name, title, document }) => ({ name: title, url: `/openapi/${name}.json`, document })),
    { name: 'All APIs', url: '/openapi.json', document: merged },
  ];
  for (const { url, document } of choice) {
    const text = JSON.stringify(document);
    app.get(url, (_request, reply) =>
      reply
        .header('access-control-allow-origin', '*')
        .header('content-type', 'application/json; charset=utf-8')
        .header('cache-control', 'no-cache')
        .send(text),
    );
  }
  const urls = choice.map(({ name, url }) => ({ name, url }));
  page(app, '/docs', swaggerPage);
  page(app, '/redoc', redocPage);
  app.get('/api-docs', (_request, reply) => reply.redirect('/docs', 302));
  app.get('/api-docs/json', (_request, reply) => reply.redirect('/openapi.json', 302));
  own(app, 'docs.css', 'text/css; charset=utf-8', styles);
  own(app, 'swagger-start.js', 'text/javascript; charset=utf-8', swaggerStart(urls));
  own(app, 'redoc-start.js', 'text/javascript; charset=utf-8', redocStart(urls));
  for (const [file, folder] of Object.entries(packageFiles)) {
    app.get(`/docs/assets/${file}`, (_request, reply) =>
      reply.sendFile(file, folder, { maxAge: packageMaxAgeMs, immutable: false }),
    );
  }
  let redoc: Promise<string> | undefined;
  app.get('/docs/assets/redoc.standalone.js', async (_request, reply) => {
    redoc ??= readFile(redocFile, 'utf8').then((text) => text.replaceAll(redocLogo, emptyImage));
    reply.header('cache-control', `public, max-age=${packageMaxAgeMs / 1_000}`).type('text/javascript; charset=utf-8');
    return redoc;
  });
}

function page(app: FastifyInstance, url: string, html: string): void {
  app.get(url, (_request, reply) =>
    reply
      .header('content-security-policy', contentSecurityPolicy)
      .header('x-content-type-options', 'nosniff')
      .header('referrer-policy', 'no-referrer')
      .header('cache-control', 'no-cache')
      .type('text/html; charset=utf-8')
      .send(html),
  );
}

function own(app: FastifyInstance, file: string, type: string, text: string): void {
  app.get(`/docs/assets/${file}`, (_request, reply) =>
    reply.header('cache-control', `public, max-age=${ownMaxAgeSeconds}`).type(type).send(text),
  );
}

type Choice = readonly { readonly name: string; readonly url: string }[];

function html(title: string, head: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
${head}<link rel="stylesheet" href="/docs/assets/docs.css">
</head>
<body>
${body}
</body>
</html>
`;
}

const swaggerPage = html(
  'Parley: Swagger UI',
  '<link rel="stylesheet" href="/docs/assets/swagger-ui.css">\n',
  `<div id="page"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/assets/swagger-start.js"></script>`,
);

const redocPage = html(
  'Parley: ReDoc',
  '',
  `<header><label>Document <select id="choice"></select></label> <a href="/docs">Swagger UI</a></header>
<div id="page"></div>
<script src="/docs/assets/redoc.standalone.js"></script>
<script src="/docs/assets/redoc-start.js"></script>`,
);

const styles = `body { margin: 0; font-family: system-ui, sans-serif; }
header { padding: 8px 16px; border-bottom: 1px solid #ddd; font-size: 14px; }
header select { font: inherit; margin: 0 12px 0 4px; }
`;

/** `validatorUrl` none: the badge would send the document to another host. */
function swaggerStart(urls: Choice): string {
  return `SwaggerUIBundle({
  urls: ${JSON.stringify(urls)},
  dom_id: '#page',
  deepLinking: true,
  validatorUrl: 'none',
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  layout: 'StandaloneLayout',
});
`;
}

/** The document is part of the address, so that a link leads to it. */
function redocStart(urls: Choice): string {
  return `const documents = ${JSON.stringify(urls)};
const asked = new URLSearchParams(location.search).get('document');
const shown = documents.find((each) => each.url === asked) ?? documents[0];
const choice = document.getElementById('choice');
for (const { name, url } of documents) choice.add(new Option(name, url, false, url === shown.url));
choice.addEventListener('change', () => {
  location.search = new URLSearchParams({ document: choice.value }).toString();
});
Redoc.init(
  shown.url,
  {
    hideDownloadButton: false,
    theme: {
      typography: { fontFamily: 'system-ui, sans-serif', headings: { fontFamily: 'system-ui, sans-serif' } },
    },
  },
  document.getElementById('page'),
);
`;
}
