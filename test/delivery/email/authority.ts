import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

/** A private certificate authority, alive for as long as the test is. */
export interface Authority {
  /** Its certificate, PEM. */
  readonly cert: string;
  /** A certificate for a host that the authority vouches for. */
  issue(host: string, validity?: Validity): { key: string; cert: string };
}

interface Validity {
  readonly from: Date;
  readonly to: Date;
}

const ECDSA_WITH_SHA256 = '2a8648ce3d040302';
const COMMON_NAME = '550403';
const BASIC_CONSTRAINTS = '551d13';
const SUBJECT_ALT_NAME = '551d11';

/** Makes an authority. X.509 (RFC 5280) as far as TLS of Node needs it. */
export function authority(name = 'Parley test authority'): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const constraints = extension(BASIC_CONSTRAINTS, der(0x30, der(0x01, Buffer.from([0xff]))), true);
  const cert = certificate(name, name, publicKey, privateKey, [constraints]);
  return {
    cert,
    issue(host, validity) {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const alternative =
        isIP(host) === 4 ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host));
      const extensions = [extension(SUBJECT_ALT_NAME, der(0x30, alternative))];
      return {
        key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        cert: certificate(name, host, own.publicKey, privateKey, extensions, validity),
      };
    },
  };
}

function certificate(
  issuer: string,
  subject: string,
  key: KeyObject,
  signer: KeyObject,
  extensions: readonly Buffer[],
  validity: Validity = { from: new Date(Date.now() - 3_600_000), to: new Date(Date.now() + 3_600_000) },
): string {
  const algorithm = der(0x30, der(0x06, Buffer.from(ECDSA_WITH_SHA256, 'hex')));
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    nameOf(issuer),
    der(0x30, time(validity.from), time(validity.to)),
    nameOf(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, ...extensions)),
  );
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, signer));
  return new X509Certificate(der(0x30, body, algorithm, signature)).toString();
}

function extension(oid: string, value: Buffer, critical = false): Buffer {
  const flag = critical ? [der(0x01, Buffer.from([0xff]))] : [];
  return der(0x30, der(0x06, Buffer.from(oid, 'hex')), ...flag, der(0x04, value));
}

function nameOf(text: string): Buffer {
  return der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from(COMMON_NAME, 'hex')), der(0x0c, Buffer.from(text)))));
}

function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d{3}/g, '');
  return der(0x17, Buffer.from(text.slice(2)));
}

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const length: number[] = [];
  if (content.length < 128) length.push(content.length);
  else if (content.length < 256) length.push(0x81, content.length);
  else length.push(0x82, content.length >> 8, content.length & 0xff);
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
