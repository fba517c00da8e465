/**
 * The public face of `@chatapi/sdk`, with the declarations beside it: the package ships these very files as its types, and the
 * source is checked against them (`typeof import('./public.d.ts')`), so the two cannot drift apart. They import nothing else.
 */
import type * as out from './public-outgoing.d.ts';
import type * as wire from './public-shapes.d.ts';
import type { ChatSocket, SocketOptions } from './public-socket.d.ts';

export type * from './public-outgoing.d.ts';
export type * from './public-shapes.d.ts';
export type * from './public-socket.d.ts';

/** As much of a WebSocket (WHATWG WebSockets, or the package `ws`) as is needed. */
export interface WebSocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { readonly code: number; readonly reason: string }) => void): void;
}

export interface ChatAPIConfig {
  /** Address of the API, with or without one trailing slash. Default `https://api.chatapi.dev/api/v1`. */
  baseUrl?: string | undefined;
  /**
   * How often a request is tried again after 429, 5xx and network failures; one that could take effect twice only after 429.
   * Default 0; a negative number means 0.
   */
  retries?: number | undefined;
  /**
   * Reads show at least what this object wrote before, whichever process of a set-up answers, or fail with 503 where one is
   * behind. Default false: one process shows it by itself.
   */
  consistentReads?: boolean | undefined;
  /** What sockets are made of. Default: the global one, which Node has since version 22. */
  WebSocket?: (new (url: string) => WebSocketLike) | undefined;
}

/** How something is created. */
export interface CreateOptions {
  /**
   * The same key makes the same thing once, however often it is asked for. Default: a new one for each call, kept through its
   * retries.
   */
  idempotencyKey?: string | undefined;
}

export interface Clients {
  /** Registers a client. Needs no key, and sends none. */
  create(client?: wire.NewClient): Promise<wire.ClientCreated>;
  /** The client of the key. */
  me(): Promise<wire.ClientOfKey>;
  update(changes: wire.ClientChanges): Promise<wire.Client>;
}

/** With a master key. */
export interface EmailProviderRoutes {
  /** One takes the place of the one of its type, a list that of all. Nothing is checked live. */
  set(providers: out.EmailProvider | readonly out.EmailProvider[]): Promise<out.EmailProvidersStored>;
  list(): Promise<out.EmailProviders>;
  /** Asks whether they would take mail: these, or without any those that are stored. */
  validate(providers?: out.EmailProvider | readonly out.EmailProvider[]): Promise<out.EmailValidation>;
}

/** With a master key; `get` and `update` with a scoped key too, for its own user, whose id may be `profile`. */
export interface Users {
  create(user: wire.NewUser, options?: CreateOptions): Promise<wire.UserCreated>;
  /** Issues a new scoped key; the one before stops working. */
  login(email: string): Promise<wire.Login>;
  list(query?: wire.UserQuery): wire.Listing<wire.User>;
  get(userId: string): Promise<wire.User>;
  update(userId: string, changes: wire.UserChanges): Promise<wire.User>;
  /** Its key stops working, its profile is erased; its messages stay. */
  delete(userId: string): Promise<void>;
}

export interface Rooms {
  create(room?: wire.NewRoom, options?: CreateOptions): Promise<wire.RoomCreated>;
  /** Those that the user is a member of; with a master key all. */
  list(query?: wire.RoomQuery): wire.Listing<wire.Room>;
  /** All active ones of the client, with a master key. */
  all(query?: wire.SortedQuery<'created_at' | 'updated_at' | 'last_message_at' | 'name'>): wire.Listing<wire.Room>;
  get(roomId: string): Promise<wire.Room>;
  update(roomId: string, changes: wire.RoomChanges): Promise<wire.Room>;
  /** Erases what was said in it as well. */
  delete(roomId: string): Promise<void>;
  deactivate(roomId: string, reason?: string): Promise<wire.Room>;
  activate(roomId: string): Promise<wire.Room>;
  join(roomId: string, who?: wire.JoinRequest): Promise<wire.Joined>;
  /** With a master key `userId` says who leaves. */
  leave(roomId: string, userId?: string): Promise<wire.Left>;
  participants(roomId: string, query?: wire.PageQuery): wire.Listing<wire.Participant>;
  online(roomId: string): Promise<wire.OnlineUsers>;
  members(roomId: string, query?: wire.PageQuery): wire.Listing<wire.Member>;
  addMember(roomId: string, member: wire.NewMember): Promise<wire.Member>;
  removeMember(roomId: string, userId: string): Promise<void>;
  memberRole(roomId: string, userId: string): Promise<wire.MemberRole>;
}

export interface Messages {
  /** Resolves once the message is stored. */
  send(message: wire.NewMessage, options?: CreateOptions): Promise<wire.Message>;
  list(query?: wire.MessageQuery): wire.Listing<wire.Message>;
  /** Whose content has `text` in it, whatever its case. */
  search(text: string, query?: wire.MessageFilter): wire.Listing<wire.Message>;
  get(messageId: string): Promise<wire.Message>;
  update(messageId: string, changes: wire.MessageChanges): Promise<wire.Message>;
  /** Erases its content. */
  delete(messageId: string): Promise<void>;
  /** The latest of a room, oldest first. */
  latest(roomId: string, query?: wire.LatestQuery): Promise<wire.Page<wire.Message>>;
  /** Others' messages of a room after the last one that was read. */
  unread(roomId: string, query?: wire.PageQuery): wire.Listing<wire.Message>;
  /** Everything up to a message has been read. */
  markRead(roomId: string, messageId: string): Promise<wire.MarkedRead>;
}

/** With a master key. */
export interface Notifications {
  /** Resolves once it is stored; it leaves later. */
  create(notification: out.NewNotification, options?: CreateOptions): Promise<out.Notification>;
  list(query?: out.NotificationQuery): wire.Listing<out.Notification>;
  analytics(query?: out.NotificationAnalyticsQuery): Promise<out.NotificationAnalytics>;
  get(notificationId: string): Promise<out.NotificationWithAttempts>;
  /** While it is pending. */
  update(notificationId: string, changes: out.NotificationChanges): Promise<out.Notification>;
  /** While it is pending. */
  cancel(notificationId: string): Promise<out.Notification>;
  /** When it failed. */
  retry(notificationId: string): Promise<out.Notification>;
}

/** With a master key. */
export interface Webhooks {
  create(webhook: out.NewWebhook, options?: CreateOptions): Promise<out.WebhookCreated>;
  list(query?: out.WebhookQuery): wire.Listing<out.Webhook>;
  get(webhookId: string): Promise<out.Webhook>;
  update(webhookId: string, changes: out.WebhookChanges): Promise<out.Webhook>;
  delete(webhookId: string): Promise<void>;
  activate(webhookId: string): Promise<out.Webhook>;
  deactivate(webhookId: string): Promise<out.Webhook>;
  /** Posts a test event to it. */
  test(webhookId: string): Promise<out.WebhookTested>;
  analytics(webhookId: string): Promise<out.WebhookAnalytics>;
  /** Deliveries that used up their attempts. */
  deadLetters(webhookId: string, query?: wire.PageQuery): wire.Listing<out.DeadLetter>;
  /** Tries one of them again. */
  redrive(webhookId: string, deliveryId: string): Promise<out.Redriven>;
  /** Posts past events once more. */
  replay(webhookId: string, request: out.ReplayRequest): Promise<out.ReplayAccepted>;
}

/** The API, by one key. */
export declare class ChatAPI {
  readonly clients: Clients;
  readonly emailProviders: EmailProviderRoutes;
  readonly users: Users;
  readonly rooms: Rooms;
  readonly messages: Messages;
  readonly notifications: Notifications;
  readonly webhooks: Webhooks;
  /** The position of the last thing that was written through this object; null before. A socket can go on from it. */
  readonly position: string | null;
  /** @param apiKey a master key, `ck_live_...`, or a scoped key, `sk_user_...`; null only to register a client */
  constructor(apiKey: string | null, config?: ChatAPIConfig);
  /** Opens a socket. Throws a `ChatAPIError` where there is no key, or nothing to make sockets of. */
  connect(options?: SocketOptions): ChatSocket;
  /** True when the API answers. */
  health(): Promise<boolean>;
}

/** One field that is wrong, and how. */
export interface FieldProblem {
  field: string;
  message: string;
}

/** Why a request or a socket failed. */
export declare class ChatAPIError extends Error {
  /**
   * The server's code (`RESOURCE_NOT_FOUND`, `VALIDATION_ERROR`, ...; undefined when its answer had none), or one of the SDK's
   * own: `NETWORK_ERROR` (no answer: the outcome is unknown, `cause` says more), `INVALID_RESPONSE` (a good answer that cannot
   * be read), `INVALID_ARGUMENT` (nothing was sent), `SOCKET_CLOSED` (`cause` is its `SocketEnd`), `NOT_CONNECTED`,
   * `NO_WEBSOCKET`.
   */
  readonly code: string | undefined;
  /** The HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** Of `VALIDATION_ERROR`: one for each wrong field. */
  readonly errors: FieldProblem[] | undefined;
  constructor(message: string, code?: string, status?: number, errors?: FieldProblem[], options?: { cause?: unknown });
}
