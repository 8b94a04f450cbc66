import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Envelope, keyId, openEnvelope, sealEnvelope } from '../../src/artifacts/dsse.js';

const mine = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');
const text = Buffer.from('{"a":"ü"}');

describe('an envelope', () => {
  it('gives back what a trusted key signed, and is the same bytes each time', () => {
    const envelope = sealEnvelope('text/x', text, [mine.privateKey]);
    expect(sealEnvelope('text/x', text, [mine.privateKey])).toEqual(envelope);
    expect(openEnvelope(envelope, [other.publicKey, mine.publicKey])).toEqual(text);
    expect(envelope.signatures[0]!.keyid).toBe(keyId(createPublicKey(mine.privateKey)));
  });

  it('gives nothing when another key, another text, another type or nobody signed it', () => {
    const envelope = sealEnvelope('text/x', text, [mine.privateKey]);
    const changed: Partial<Envelope>[] = [
      { payload: Buffer.from('{"a":"u"}').toString('base64') },
      { payloadType: 'text/y' },
      { signatures: [] },
      { signatures: [{ keyid: keyId(mine.publicKey), sig: 'AAAA' }] },
      // The length of the type is signed: it cannot take a part of the text.
      { payloadType: `text/x ${text.length} {`, payload: text.subarray(1).toString('base64') },
    ];
    for (const change of changed)
      expect(openEnvelope({ ...envelope, ...change }, [mine.publicKey])).toBeUndefined();
    expect(openEnvelope(envelope, [other.publicKey])).toBeUndefined();
    expect(openEnvelope(envelope, [])).toBeUndefined();
  });
});
