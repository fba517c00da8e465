import { errors as joseErrors, jwtVerify, SignJWT } from 'jose';
import type { AuthenticatedSession } from '../../commands/index.ts';
import type { Clock } from '../../platform/clock.ts';
import { tokenError } from './errors.ts';

const issuer = 'CompanyApi';
const algorithm = 'HS512';

/** What a token says; times in seconds since the epoch. */
export interface TokenClaims extends AuthenticatedSession {
  readonly expire: number;
}

/** The bearer token of an `Authorization` header; null without one. */
export function bearerOf(header: string | undefined): string | null {
  // The scheme is compared without case (RFC 9110, section 11.1).
  return /^bearer\s+(\S+)\s*$/i.exec(header ?? '')?.[1] ?? null;
}

/** Signs and reads tokens (sheet, section 1). `jti` is the session, which alone says whether a token still holds. */
export class Tokens {
  readonly #secret: Uint8Array;
  readonly #workspace: number;
  readonly #clock: Clock;

  constructor(options: { readonly jwtSecret: string; readonly workspace: number; readonly clock: Clock }) {
    this.#secret = new TextEncoder().encode(options.jwtSecret);
    this.#workspace = options.workspace;
    this.#clock = options.clock;
  }

  /** A token of a session, and when it ends. */
  async sign(
    { account, session }: AuthenticatedSession,
    life: { readonly fromMs: number; readonly ms: number },
  ): Promise<{ token: string; expire: number }> {
    const issuedAt = Math.floor(life.fromMs / 1_000);
    const expire = issuedAt + Math.max(1, Math.floor(life.ms / 1_000));
    const token = await new SignJWT({ typ: 'access' })
      .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
      .setIssuer(issuer)
      .setAudience(issuer)
      .setSubject(`User:${account}`)
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt - 1)
      .setExpirationTime(expire)
      .setJti(session)
      .sign(this.#secret);
    return { token, expire };
  }

  /** What a token says. Throws 401 `token_expired`, `invalid_token`. */
  async read(token: string): Promise<TokenClaims> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: [algorithm],
        issuer,
        audience: issuer,
        requiredClaims: ['exp'],
        currentDate: new Date(this.#clock.now()),
      });
      const account = /^User:([1-9]\d{0,9})$/.exec(payload.sub ?? '')?.[1];
      const { jti: session, exp: expire, typ } = payload;
      if (account === undefined || typ !== 'access' || !/^[0-9a-f-]{36}$/.test(session ?? '') || expire === undefined)
        throw tokenError('invalid_token');
      return { workspace: this.#workspace, account: Number(account), session: session as string, expire };
    } catch (error) {
      if (error instanceof joseErrors.JWTExpired) throw tokenError('token_expired');
      // What is not even three parts of base64url can fail below jose.
      if (error instanceof joseErrors.JOSEError || error instanceof TypeError || error instanceof SyntaxError)
        throw tokenError('invalid_token');
      throw error;
    }
  }
}
