/**
 * Between the stand-in and the messages of the client package's stubs. Codes, messages and trailers of errors are those of
 * the real server (EventStore/EventStore, `RpcExceptions`, `Google.Rpc.Status` and `Streams.BatchAppend`).
 */
import shared from '@eventstore/db-client/generated/shared_pb.js';
import statusPb from '@eventstore/db-client/generated/status_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { status as code, Metadata } from '@grpc/grpc-js';
import anyPb from 'google-protobuf/google/protobuf/any_pb.js';
import emptyPb from 'google-protobuf/google/protobuf/empty_pb.js';
import type { Failing } from './faults.ts';
import type { StoredEvent } from './log-file.ts';
import { deletedRevision, type Expected, maxAppendBytes } from './store.ts';

/** The end of a call with an error. */
export interface RpcError {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

function rpcError(of: number, details: string, trailers: Readonly<Record<string, string>> = {}): RpcError {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
  return { code: of, details, metadata };
}

export function streamDeletedError(stream: string): RpcError {
  return rpcError(code.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });
}

export function invalidPositionError(): RpcError {
  return rpcError(code.INVALID_ARGUMENT, 'Trying to read from an invalid position.');
}

export function maximumAppendSizeError(): RpcError {
  return rpcError(code.INVALID_ARGUMENT, `Maximum Append Size of ${maxAppendBytes} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(maxAppendBytes),
  });
}

/** For deletions; appends tell it in their answer. */
export function wrongExpectedVersionError(stream: string, expected: Expected, current: number): RpcError {
  return rpcError(code.FAILED_PRECONDITION, `Delete failed due to WrongExpectedVersion. Stream: ${stream}`, {
    exception: 'wrong-expected-version',
    'stream-name': stream,
    'expected-version': String(expectedNumber(expected)),
    'actual-version': String(current),
  });
}

function expectedNumber(expected: Expected): number {
  if (typeof expected === 'number') return expected;
  return { no_stream: -1, any: -2, stream_exists: -4 }[expected];
}

/** What a failing call ends with, outside BatchAppend's own answers. */
export function failure({ error, leader }: Failing, self: { readonly host: string; readonly port: number }): RpcError {
  switch (error) {
    case 'not-leader': {
      const { host, port } = leader ?? self;
      return rpcError(code.NOT_FOUND, 'Leader info available', {
        exception: 'not-leader',
        'leader-endpoint-host': host,
        'leader-endpoint-port': String(port),
      });
    }
    case 'busy':
      return rpcError(code.UNAVAILABLE, 'Server Is Too Busy');
    case 'not-ready':
      return rpcError(code.UNAVAILABLE, 'Server Is Not Ready');
    case 'unavailable':
      return rpcError(code.UNAVAILABLE, 'Connection dropped');
    case 'cancelled':
      return rpcError(code.CANCELLED, 'Call was cancelled by the server');
    case 'deadline':
      return rpcError(code.DEADLINE_EXCEEDED, 'Deadline exceeded');
    case 'access-denied':
      return rpcError(code.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' });
    case 'unknown':
      return rpcError(code.UNKNOWN, 'Unexpected OperationResult: Unknown');
    default:
      return rpcError(code.ABORTED, `Operation timed out: ${timeoutMessage(error)}`);
  }
}

function timeoutMessage(error: 'write-timeout' | 'prepare-timeout' | 'commit-timeout'): string {
  return {
    'write-timeout': 'Forward timeout',
    'prepare-timeout': 'Prepare phase timeout',
    'commit-timeout': 'Commit phase timeout',
  }[error];
}

type Packable = { serializeBinary(): Uint8Array };

function status(
  message: string,
  ofCode: number,
  type: string,
  details: Packable,
): InstanceType<typeof statusPb.Status> {
  const any = new anyPb.Any();
  any.pack(details.serializeBinary(), type);
  const made = new statusPb.Status().setMessage(message).setDetails(any);
  // `google.rpc.Code` has gRPC's numbers.
  made.setCode(ofCode as Parameters<typeof made.setCode>[0]);
  return made;
}

/** The errors that BatchAppend answers within its stream. */
export const batchStatus = {
  wrongExpectedVersion(expected: Expected, current: number) {
    const details = new shared.WrongExpectedVersion();
    if (current < 0) details.setCurrentNoStream(new emptyPb.Empty());
    else details.setCurrentStreamRevision(String(current));
    if (expected === 'any') details.setExpectedAny(new emptyPb.Empty());
    else if (expected === 'no_stream') details.setExpectedNoStream(new emptyPb.Empty());
    else if (expected === 'stream_exists') details.setExpectedStreamExists(new emptyPb.Empty());
    else details.setExpectedStreamPosition(String(expected));
    return status('WrongExpectedVersion', code.ALREADY_EXISTS, 'event_store.client.WrongExpectedVersion', details);
  },
  streamDeleted(stream: string) {
    const details = new shared.StreamDeleted().setStreamIdentifier(identifier(stream));
    return status('StreamDeleted', code.NOT_FOUND, 'event_store.client.StreamDeleted', details);
  },
  timeout() {
    return status('Timeout', code.DEADLINE_EXCEEDED, 'event_store.client.Timeout', new shared.Timeout());
  },
  maximumAppendSize() {
    const details = new shared.MaximumAppendSizeExceeded().setMaxappendsize(maxAppendBytes);
    const type = 'event_store.client.MaximumAppendSizeExceeded';
    return status('MaximumAppendSizeExceeded', code.INVALID_ARGUMENT, type, details);
  },
  accessDenied() {
    return status('AccessDenied', code.PERMISSION_DENIED, 'event_store.client.AccessDenied', new shared.AccessDenied());
  },
  unknown() {
    return status('Unknown', code.UNKNOWN, 'event_store.client.Unknown', new shared.Unknown());
  },
  /** Without a type that clients know: they tell it by the message. */
  notHandled(message: string) {
    return status(message, code.OK, 'google.protobuf.Empty', new emptyPb.Empty());
  },
};

/** What BatchAppend answers to a failing append in its stream; null where the whole stream ends with the error. */
export function batchFailure({ error }: Failing): ReturnType<typeof batchStatus.timeout> | null {
  switch (error) {
    case 'not-leader':
    case 'unavailable':
    case 'cancelled':
      return null;
    case 'busy':
      return batchStatus.notHandled('Server Is Busy');
    case 'not-ready':
      return batchStatus.notHandled('Server Is Not Ready');
    case 'access-denied':
      return batchStatus.accessDenied();
    case 'unknown':
      return batchStatus.unknown();
    default:
      return batchStatus.timeout();
  }
}

export function identifier(stream: string): InstanceType<typeof shared.StreamIdentifier> {
  return new shared.StreamIdentifier().setStreamName(Buffer.from(stream));
}

export function nameOf(of: { getStreamName_asU8(): Uint8Array } | undefined): string {
  return Buffer.from(of?.getStreamName_asU8() ?? []).toString();
}

/** An id as text, in either of its two forms. */
export function uuidOf(uuid: InstanceType<typeof shared.UUID> | undefined): string {
  const structured = uuid?.getStructured();
  if (!structured) return uuid?.getString() ?? '';
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(structured.getMostSignificantBits())), 0);
  bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(structured.getLeastSignificantBits())), 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function recorded(event: StoredEvent): InstanceType<typeof streams.ReadResp.ReadEvent.RecordedEvent> {
  const message = new streams.ReadResp.ReadEvent.RecordedEvent()
    .setId(new shared.UUID().setString(event.id))
    .setStreamIdentifier(identifier(event.stream))
    .setStreamRevision(event.kind === 'tombstone' ? deletedRevision : String(event.revision))
    .setCommitPosition(String(event.position))
    .setPreparePosition(String(event.position))
    .setData(event.data)
    .setCustomMetadata(event.metadata);
  message
    .getMetadataMap()
    .set('type', event.type)
    // In .NET's ticks of 100 ns.
    .set('created', String(BigInt(event.createdMs) * 10_000n))
    .set('content-type', event.json ? 'application/json' : 'application/octet-stream');
  return message;
}

/** An event as readers get it; `link`: the link that led to it. */
export function readEvent(event: StoredEvent | null, link?: StoredEvent): InstanceType<typeof streams.ReadResp> {
  const message = new streams.ReadResp.ReadEvent();
  if (event) message.setEvent(recorded(event));
  if (link) message.setLink(recorded(link));
  message.setCommitPosition(String((link ?? event)?.position ?? 0));
  return new streams.ReadResp().setEvent(message);
}
