/**
 * The stand-in's process: `node test/support/eventstoredb/server.ts --file F [--port N] [--fsync]`. gRPC and the admin HTTP
 * API share one port, as in the real server; what only tests may do (`/faults`, `/state`) has another. When it listens it
 * prints one line of JSON with both ports, or with an error. It ends when its standard input does, so that none outlives its test.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { json } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import featuresGrpc from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import features from '@eventstore/db-client/generated/serverfeatures_pb.js';
import streamsGrpc from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { FaultBox, type Faults, type OneShots } from './faults.ts';
import { type ReadContext, readCalls } from './reads.ts';
import { Store } from './store.ts';
import { writeCalls } from './writes.ts';

const { values } = parseArgs({
  options: {
    file: { type: 'string' },
    port: { type: 'string', default: '0' },
    fsync: { type: 'boolean', default: false },
  },
});
if (!values.file) throw new Error('--file is missing');

const host = '127.0.0.1';
const store = new Store(values.file, { fsync: values.fsync });
const faults = new FaultBox();
const signals: ReadContext['signals'] = new EventEmitter();
signals.setMaxListeners(0);
const self = { host, port: 0 };
/** Connections of clients, by the peer's address as gRPC spells it. */
const connections = new Map<string, Socket>();
const context: ReadContext = {
  store,
  faults,
  signals,
  self,
  counters: { appends: 0, appendsAnswered: 0, reads: 0, subscriptions: 0 },
  cut: (peer) => connections.get(peer)?.destroy(),
  die: () => {
    process.kill(process.pid, 'SIGKILL');
    throw new Error('unreachable');
  },
};

const grpc = new Server({
  'grpc.max_receive_message_length': 17 * 1024 * 1024,
  'grpc.max_send_message_length': -1,
});
grpc.addService(streamsGrpc.StreamsService, { ...writeCalls(context), ...readCalls(context) });
grpc.addService(featuresGrpc.ServerFeaturesService, {
  getSupportedMethods: (_call: unknown, callback: (error: null, answer: unknown) => void) => {
    const answer = new features.SupportedMethods().setEventStoreServerVersion('23.10.6.0');
    const methods = ['read', 'append', 'delete', 'tombstone', ...(faults.current.batchAppend ? ['batchappend'] : [])];
    for (const name of methods) {
      const method = new features.SupportedMethod().setServiceName('event_store.client.streams.streams');
      answer.addMethods(method.setMethodName(name));
    }
    callback(null, answer);
  },
});
const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

let last: { scavengeId: string } | null = null;

/** `POST /admin/scavenge`, `GET /admin/scavenge/current` and `/last`, as in `AdminController`. A scavenge is done at once. */
const admin = createServer((request, response) => {
  const path = (request.url ?? '').split('?')[0];
  request.resume();
  if (request.method === 'POST' && path === '/admin/scavenge') {
    const { scavenge } = faults.current;
    if (scavenge === 'in-progress') return response.writeHead(400).end('Scavenge is already running');
    if (scavenge === 'unauthorized') return response.writeHead(401).end('User not authorized');
    const scavengeId = randomUUID();
    store.scavenge(scavengeId);
    last = { scavengeId };
    return answer(response, 200, last);
  }
  if (request.method === 'GET' && path === '/admin/scavenge/current') return answer(response, 200, {});
  if (request.method === 'GET' && path === '/admin/scavenge/last') {
    const link = last && { scavengeLink: `/admin/scavenge/${last.scavengeId}` };
    return answer(response, 200, { ...last, ...link, scavengeResult: last ? 'Success' : 'Unknown' });
  }
  if (request.method === 'GET' && path === '/health/live') return response.writeHead(204).end();
  if (request.method === 'GET' && path === '/info')
    return answer(response, 200, { esVersion: '23.10.6.0', state: 'leader' });
  answer(response, 404, { error: 'not found' });
});

async function order(request: IncomingMessage): Promise<unknown> {
  if (request.method === 'GET') return { ...context.counters, records: store.count, head: store.head, end: store.end };
  const patch = (await json(request)) as Partial<Faults> & OneShots;
  const { cutConnections, endSubscriptions, fallBehind, ...switches } = patch;
  faults.set(switches);
  store.systemEveryRecords = faults.current.systemEveryRecords;
  if (endSubscriptions) signals.emit('endSubscriptions');
  if (fallBehind) signals.emit('fallBehind');
  if (cutConnections) for (const socket of connections.values()) socket.destroy();
  return faults.current;
}

const control = createServer(async (request, response) => {
  try {
    answer(response, 200, await order(request));
  } catch (error) {
    answer(response, 400, { error: String(error) });
  }
});

/** One port for both: a client of gRPC opens with the preface of HTTP/2. */
const front = createTcpServer({ noDelay: true }, (socket) => {
  const peer = `${socket.remoteAddress}:${socket.remotePort}`;
  connections.set(peer, socket);
  socket.on('close', () => connections.delete(peer));
  socket.on('error', () => socket.destroy());
  socket.once('readable', () => {
    const first = socket.read() as Buffer | null;
    if (!first) return void socket.destroy();
    socket.unshift(first);
    if (first.toString('latin1', 0, 4) === 'PRI ') injector.injectConnection(socket);
    else admin.emit('connection', socket);
  });
});

async function listen(server: TcpServer, port: number): Promise<void> {
  server.listen(port, host);
  await once(server, 'listening');
}

process.stdin.resume().on('end', () => process.exit(0));
try {
  await listen(control, 0);
  await listen(front, Number(values.port));
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
  process.exit(1);
}
self.port = (front.address() as AddressInfo).port;
process.stdout.write(`${JSON.stringify({ port: self.port, controlPort: (control.address() as AddressInfo).port })}\n`);
