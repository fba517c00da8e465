/** The SDK's one error class; documented where it is declared for its users, `public.d.ts`. */
export class MessageJSError extends Error {
  readonly code: string | undefined;
  readonly status: number | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(
    message: string,
    code?: string,
    status?: number,
    details?: Record<string, unknown>,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'MessageJSError';
    this.code = code;
    this.status = status;
    this.details = details;
  }
}
