/** Requests and answers of the server's BatchAppend, in its own messages (`streams.proto`, `shared.proto`). */
import shared from '@eventstore/db-client/generated/shared_pb.js';
import streams, { type BatchAppendReq, type BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js';
import empty from 'google-protobuf/google/protobuf/empty_pb.js';
import timestamp from 'google-protobuf/google/protobuf/timestamp_pb.js';
import type { ProposedEvent } from './eventstoredb-records.ts';
import { NO_STREAM } from './log.ts';

/** What the server answers to one append. */
export type ServerAnswer =
  /** Stored now or before. `revision` of the last event; its position is not always told. */
  | { readonly is: 'stored'; readonly revision: number; readonly position: bigint | null }
  /** The stream is not where it was expected; `actual` is where it is. */
  | { readonly is: 'conflict'; readonly actual: number }
  /** The stream was tombstoned. */
  | { readonly is: 'deleted' }
  | { readonly is: 'too-large'; readonly maxBytes: number }
  /** Not stored, or not known to be: to be asked again. */
  | { readonly is: 'trouble'; readonly reason: string };

const prefix = 'event_store.client.';

/** One append as one message. */
export function request(
  append: {
    readonly id: string;
    readonly stream: string;
    readonly events: readonly ProposedEvent[];
    readonly expected: number | 'any';
  },
  timeoutMs: number,
): BatchAppendReq {
  const options = new streams.BatchAppendReq.Options();
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(append.stream));
  options.setStreamIdentifier(identifier);
  options.setDeadline(timestamp.Timestamp.fromDate(new Date(Date.now() + timeoutMs)));
  if (append.expected === 'any') options.setAny(new empty.Empty());
  else if (append.expected === NO_STREAM) options.setNoStream(new empty.Empty());
  else options.setStreamPosition(String(append.expected));
  const message = new streams.BatchAppendReq();
  message.setCorrelationId(uuid(append.id));
  message.setOptions(options);
  message.setIsFinal(true);
  for (const { id, type, data, metadata } of append.events) {
    const proposed = new streams.BatchAppendReq.ProposedMessage();
    proposed.setId(uuid(id));
    proposed.getMetadataMap().set('type', type);
    proposed.getMetadataMap().set('content-type', 'application/json');
    proposed.setData(data);
    proposed.setCustomMetadata(metadata);
    message.addProposedMessages(proposed);
  }
  return message;
}

function uuid(id: string) {
  const message = new shared.UUID();
  message.setString(id);
  return message;
}

/** The answer to one append, and to which. */
export function readAnswer(response: BatchAppendResp): { id: string; answer: ServerAnswer } {
  return { id: idOf(response.getCorrelationId()), answer: answerOf(response) };
}

function idOf(id: ReturnType<BatchAppendResp['getCorrelationId']>): string {
  const structured = id?.getStructured();
  if (!structured) return id?.getString() ?? '';
  const bits = [structured.getMostSignificantBits(), structured.getLeastSignificantBits()];
  const hex = bits.map((half) => BigInt.asUintN(64, BigInt(half)).toString(16).padStart(16, '0')).join('');
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

function answerOf(response: BatchAppendResp): ServerAnswer {
  const success = response.getSuccess();
  if (success) {
    const position = success.getPosition();
    return {
      is: 'stored',
      revision: success.hasNoStream() ? NO_STREAM : Number(success.getCurrentRevision()),
      position: position ? BigInt(position.getCommitPosition()) : null,
    };
  }
  const error = response.getError();
  const details = error?.getDetails();
  const type = details?.getTypeName() ?? '';
  if (type === `${prefix}WrongExpectedVersion`) {
    const wrong = details?.unpack(shared.WrongExpectedVersion.deserializeBinary, type);
    return {
      is: 'conflict',
      actual: wrong?.hasCurrentStreamRevision() ? Number(wrong.getCurrentStreamRevision()) : -1,
    };
  }
  if (type === `${prefix}StreamDeleted`) return { is: 'deleted' };
  if (type === `${prefix}MaximumAppendSizeExceeded`) {
    const limit = details?.unpack(shared.MaximumAppendSizeExceeded.deserializeBinary, type);
    return { is: 'too-large', maxBytes: limit?.getMaxappendsize() ?? 0 };
  }
  return { is: 'trouble', reason: error?.getMessage() || type.slice(prefix.length) || 'no reason given' };
}
