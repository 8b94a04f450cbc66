import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/** A signed text (DSSE v1, https://github.com/secure-systems-lab/dsse/blob/master/envelope.md). */
export interface Envelope {
  readonly payloadType: string;
  /** Base64. */
  readonly payload: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/**
 * Wraps `payload` into an envelope, signed with each of the keys.
 * @param keys Private Ed25519 keys: their signatures of the same text are the same bytes.
 */
export function sealEnvelope(payloadType: string, payload: Uint8Array, keys: readonly KeyObject[]): Envelope {
  const text = encodePreAuthentication(payloadType, payload);
  return {
    payloadType,
    payload: Buffer.from(payload).toString('base64'),
    signatures: keys.map((key) => ({
      keyid: keyId(createPublicKey(key)),
      sig: sign(null, text, key).toString('base64'),
    })),
  };
}

/**
 * Reads what one of `keys` (public, Ed25519) has signed.
 * @returns undefined when none of them has.
 */
export function openEnvelope(
  { payloadType, payload, signatures }: Envelope,
  keys: readonly KeyObject[],
): Buffer | undefined {
  const bytes = Buffer.from(payload, 'base64');
  const text = encodePreAuthentication(payloadType, bytes);
  // What an envelope says of its keys is only a hint.
  const isSigned = signatures.some(({ sig }) =>
    keys.some((key) => verify(null, text, key, Buffer.from(sig, 'base64'))),
  );
  return isSigned ? bytes : undefined;
}

/** sha256 of a public key in DER, in hexadecimal. */
export function keyId(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** What is signed: type and payload, each with its length before it (DSSE v1, protocol.md). */
function encodePreAuthentication(type: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.byteLength} `;
  return Buffer.concat([Buffer.from(head), payload]);
}
