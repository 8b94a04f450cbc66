/** The key that puts units in the order of `row` written out, as moments are in memory. */
export function writeNumber(row: number, key: Uint32Array): void {
  const bytes = Buffer.alloc(16);
  bytes.write(String(row), 'latin1');
  for (let index = 0; index < 4; index++) key[index] = bytes.readUInt32BE(4 * index);
}

/** The number that `writeNumber` made a key of, from its words. */
export function numberOfKey(words: Uint32Array, at: number): number {
  const bytes = Buffer.alloc(16);
  for (let index = 0; index < 4; index++) bytes.writeUInt32BE(words[at + index]!, 4 * index);
  return Number(bytes.toString('latin1').replaceAll('\0', ''));
}
