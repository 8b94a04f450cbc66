// Inputs as both sides read them: [{name: {dtype, dims, data}}], data in base64, or a list of strings.
const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  float64: Float64Array,
};

export function writeBatches(batches) {
  const encode = ({ dtype, dims, data }) => {
    const bytes =
      dtype === 'string'
        ? data
        : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
    return { dtype, dims, data: bytes };
  };
  return JSON.stringify(
    batches.map((feeds) =>
      Object.fromEntries(Object.entries(feeds).map(([name, array]) => [name, encode(array)])),
    ),
  );
}

export function readBatches(text) {
  const decode = ({ dtype, dims, data }) => {
    if (dtype === 'string') return { dtype, dims, data };
    const bytes = new Uint8Array(Buffer.from(data, 'base64'));
    return { dtype, dims, data: new arrays[dtype](bytes.buffer) };
  };
  return JSON.parse(text).map((feeds) =>
    Object.fromEntries(Object.entries(feeds).map(([name, array]) => [name, decode(array)])),
  );
}
