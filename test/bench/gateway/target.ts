/** What the benchmarks of sockets need of a server, so that any can stand in: Parley with a dialect, the hub alone, bare `ws`. */

/** One socket of the load: its place among all, and the room it is in. */
export interface SocketSpec {
  readonly number: number;
  readonly room: number;
}

/** A request that posts one message. */
export interface PostRequest {
  readonly path: string;
  /** Without `Host` and `Content-Length`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How to talk to a server. A module that exports `wire(data)` is named by its file, since processes of their own import it. */
export interface Wire {
  /** Path and query of the upgrade. `after`: where to resume, null for from now on. */
  upgrade(
    socket: SocketSpec,
    after: string | null,
  ): { readonly path: string; readonly headers: Readonly<Record<string, string>> };
  /** The first frame of the client, null for none. */
  greeting(socket: SocketSpec, after: string | null): string | null;
  /** Whether a frame says that the socket is authenticated. */
  isWelcome(text: string): boolean;
  /** Posts a text to a room. */
  post(room: number, text: string): PostRequest;
  /** The frame that a text becomes: what the bare process sends, so that both send equal bytes. */
  frame(room: number, nth: number, text: string): string;
  /** The position that a frame carries. */
  position(text: string): string | null;
  /** What a frame says of a drain; null for any other. */
  shutdown(text: string): { readonly reconnectAfterMs: number; readonly position: string } | null;
}

/** Where a wire is made: `file` exports `wire(data: unknown): Wire`. */
export interface WireSource {
  readonly file: string;
  /** Credentials, ids: whatever the module needs. */
  readonly data: unknown;
}

/** What has to be there before sockets come. */
export interface Population {
  readonly sockets: number;
  /** Sockets of one room; the rooms are numbered from 1. */
  readonly perRoom: number;
}

/** The room of a socket. */
export function roomOf(number: number, perRoom: number): number {
  return Math.floor(number / perRoom) + 1;
}

/** A running server. */
export interface Target {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  /** Of its database, null when it has none. */
  readonly postgresPid: number | null;
  /** Makes accounts and rooms, and tells how to talk to it about them. */
  prepare(population: Population): Promise<WireSource>;
  /** Closes all sockets as a drain does, and goes on. */
  drain(): Promise<void>;
  stop(): Promise<void>;
}

/** A module that starts a server: what `--target` names. */
export interface TargetModule {
  startTarget(options: { readonly dir: string }): Promise<Target>;
}
