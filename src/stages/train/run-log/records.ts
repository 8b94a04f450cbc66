import { maskedCrc } from './crc32c.js';

/** A record of TensorFlow's record files: length (uint64), its checksum, the data, its checksum; little-endian. */
export function encodeRecord(data: Uint8Array): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(data.length));
  head.writeUInt32LE(maskedCrc(head.subarray(0, 8)), 8);
  const foot = Buffer.alloc(4);
  foot.writeUInt32LE(maskedCrc(data));
  return Buffer.concat([head, data, foot]);
}

/** The whole records at the beginning of a file, and where they end: a kill may have torn the last one. */
export function decodeRecords(file: Buffer): { readonly records: Buffer[]; readonly end: number } {
  const records: Buffer[] = [];
  let at = 0;
  while (at + 16 <= file.length) {
    const head = file.subarray(at, at + 8);
    if (file.readUInt32LE(at + 8) !== maskedCrc(head)) break;
    const end = at + 12 + Number(head.readBigUInt64LE());
    if (end + 4 > file.length) break;
    const data = file.subarray(at + 12, end);
    if (file.readUInt32LE(end) !== maskedCrc(data)) break;
    records.push(data);
    at = end + 4;
  }
  return { records, end: at };
}
