import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { accountsByNumber } from '../../../projections/accounts/queries.ts';
import { type ImageName, imageTypes, type StoredFile } from '../../commands/index.ts';
import { type FormPart, readForm } from '../multipart.ts';
import { param } from '../routes.ts';
import { detail } from './errors.ts';
import { actorOf, addRoute, type Context, tellPosition, userOf, waitForRows } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Users'];
const security = ['token'];
/** What a form may have around its image. */
const formBytes = 16_384;

/** The image of a user (sheet, section 2, where the seed is silent), and where it is shown. */
export async function imageRoutes(app: FastifyInstance, context: Context): Promise<void> {
  // This route alone takes forms, and nothing else: its own scope has the parser.
  await app.register(async (scope) => uploadRoute(scope, context));
  showRoute(app, context);
}

function uploadRoute(app: FastifyInstance, { options, guard }: Context): void {
  const { files, config } = options;
  const maxBytes = config.uploadLimitBytes;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer', bodyLimit: maxBytes + formBytes },
    (request, body, done) => {
      const form = readForm(request.headers['content-type'] ?? '', body as Buffer);
      if (form === null) done(detail(400));
      else done(null, form);
    },
  );

  addRoute(app, {
    method: 'POST',
    path: '/users/upload',
    summary: 'Upload an image of oneself, in place of the one before',
    tags,
    security,
    body: wire.uploadBody,
    answers: { 200: wire.uploaded, 422: wire.fieldsRefused },
    onRequest: guard,
    bodyLimit: maxBytes + formBytes,
    async handler(request, reply) {
      const { account } = userOf(request);
      const image = wire.readImage((request.body ?? []) as FormPart[], maxBytes);
      const changed = await files.changeAvatar(actorOf(options, account, request), image);
      tellPosition(reply, changed.position);
      return { image: { file_name: wire.fileName(changed), updated_at: wire.dateOf(changed.at) } };
    },
  });
}

function showRoute(app: FastifyInstance, { options, guard }: Context): void {
  const { files, db, config } = options;

  /** A file of the name that its owner shows; null for none. */
  const shown = async (name: ImageName): Promise<StoredFile | null> => {
    const found = await files.named(config.workspace, name);
    if (found.length === 0) return null;
    const owners = await accountsByNumber(
      db,
      config.workspace,
      found.map(({ owner }) => owner),
    );
    const shows = new Map(owners.map(({ account, avatar }) => [account, avatar]));
    return found.find(({ owner, file }) => shows.get(owner) === file) ?? null;
  };

  addRoute(app, {
    method: 'GET',
    path: '/uploads/:file_name',
    summary: 'Get the image of a user',
    tags,
    security,
    params: z.object({ file_name: z.string() }),
    answers: { 200: wire.shownImage, 304: z.null(), 404: wire.refused },
    onRequest: guard,
    async handler(request, reply) {
      const name = wire.readFileName(param(request, 'file_name'));
      await waitForRows(options, request, reply);
      const file = name === null ? null : await shown(name);
      if (name === null || file === null) throw detail(404);
      const etag = `"${name.digest}"`;
      reply
        .header('etag', etag)
        // It is kept, and asked for before each use: what was replaced or erased is not shown again.
        .header('cache-control', 'private, no-cache')
        .header('x-content-type-options', 'nosniff');
      if (isKnown(request.headers['if-none-match'], etag)) return reply.code(304).send();
      const bytes = await files.bytesOf(file);
      if (bytes === null) throw detail(404);
      return reply.type(imageTypes[name.kind]).send(bytes);
    },
  });
}

/** Whether `If-None-Match` names what there is (RFC 9110, section 13.1.2: compared weakly). */
function isKnown(header: string | undefined, etag: string): boolean {
  return (header ?? '').split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === etag);
}
