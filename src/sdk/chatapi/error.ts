import type { FieldProblem } from './public.d.ts';

/** The SDK's one error class; documented where it is declared for its users, `public.d.ts`. */
export class ChatAPIError extends Error {
  readonly code: string | undefined;
  readonly status: number | undefined;
  readonly errors: FieldProblem[] | undefined;

  constructor(message: string, code?: string, status?: number, errors?: FieldProblem[], options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ChatAPIError';
    this.code = code;
    this.status = status;
    this.errors = errors;
  }
}
