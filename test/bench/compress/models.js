import { fileURLToPath } from 'node:url';

const images = fileURLToPath(new URL('../../../templates/image-classifier/images', import.meta.url));
const digits = (size) => ({
  source: images,
  target: 'digit',
  images: { size: [size, size], colorMode: 'grayscale' },
});
const fit = (epochs, learningRate) => ({ epochs, batchSize: 32, optimizer: { adam: { learningRate } } });

/** Models that maas trains: the sections `data` and `train` of their configs. `file` is of --data. */
export const trained = {
  mlp: {
    kind: 'dense',
    data: digits(16),
    train: { model: { preset: { mlp: { units: [512, 512] } } }, ...fit(20, 0.001) },
  },
  resnet: {
    kind: 'convolutional',
    data: digits(16),
    train: { model: { preset: { resnet: { filters: [16, 32, 64], blocks: 1 } } }, ...fit(6, 0.002) },
  },
  mobilenet: {
    kind: 'convolutional',
    data: digits(16),
    train: { model: { preset: { mobilenet: { filters: [32, 64, 128], blocks: 1 } } }, ...fit(8, 0.003) },
  },
  bert: {
    kind: 'dense',
    file: 'intents.csv',
    data: {
      ...{ source: 'intents.csv', target: 'intent', types: { text: 'text' } },
      transforms: { texts: { textVectorization: { outputMode: 'int', outputSequenceLength: 32 } } },
    },
    train: { model: { preset: { transformer: { units: 128, heads: 4, layers: 2 } } }, ...fit(4, 0.001) },
  },
  gpt: {
    kind: 'dense',
    file: 'tinyshakespeare.txt',
    data: { source: 'tinyshakespeare.txt', target: 'next', text: { context: 64, stride: 64 } },
    train: {
      model: { preset: { transformer: { units: 256, heads: 8, layers: 2, dropout: 0 } } },
      ...fit(1, 0.001),
    },
  },
};

/** ONNX files that packages of PyPI carry, with inputs of the shapes that they are made for. */
export const carried = {
  'magika 1.0.3': {
    kind: 'dense',
    package: 'magika==1.0.3',
    file: 'magika/models/standard_v3_3/model.onnx',
    inputs: { bytes: { dims: [4, 2048], kind: 'files' } },
  },
  'PP-OCRv4 detection': {
    kind: 'convolutional',
    package: 'rapidocr-onnxruntime==1.4.4',
    file: 'rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx',
    inputs: { x: { dims: [1, 3, 320, 320], kind: 'text', zoom: 2, from: -1 } },
  },
  'PP-OCRv4 recognition': {
    kind: 'convolutional',
    package: 'rapidocr-onnxruntime==1.4.4',
    file: 'rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx',
    inputs: { x: { dims: [1, 3, 48, 160], kind: 'text', zoom: 2.5, from: -1 } },
  },
  'PP-OCR orientation': {
    kind: 'convolutional',
    package: 'rapidocr-onnxruntime==1.4.4',
    file: 'rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx',
    inputs: { x: { dims: [1, 3, 48, 192], kind: 'text', zoom: 2.5, from: -1 } },
  },
  'nudenet 320n': {
    kind: 'convolutional',
    package: 'nudenet==3.4.2',
    file: 'nudenet/320n.onnx',
    inputs: { images: { dims: [1, 3, 320, 320], kind: 'photo', zoom: 1.1 } },
  },
  'silero VAD 6.2.3': {
    kind: 'dense',
    package: 'silero-vad==6.2.3',
    file: 'silero_vad/data/silero_vad_openvino_16k.onnx',
    inputs: { input: { dims: [1, 576], kind: 'sound' }, state: { dims: [2, 1, 128], kind: 'normal' } },
  },
};

const clean = [['simplify'], ['fold']];
/** Tables and what is left: the peers store both in fewer bytes too. */
const rest = [['quantizeEmbeddings'], ['storeBytes']];
const weights = (algorithm) => [...clean, ['quantize', { mode: 'weights', algorithm, block: 32 }], ...rest];

/** Passes of ours by the name of the recipe, and the peers that have the same: each has another algorithm for 4 bits. */
export const recipes = {
  'static int8': {
    passes: [...clean, ['quantize', { mode: 'static', calibration: { method: 'minmax' } }], ['storeBytes']],
    peers: ['onnxruntime', 'olive', 'inc'],
  },
  'dynamic int8': {
    passes: [...clean, ['quantize', { mode: 'dynamic' }], ...rest],
    peers: ['onnxruntime', 'olive', 'inc'],
  },
  '4-bit, rtn': { passes: weights('rtn'), peers: ['onnxruntime'] },
  '4-bit, hqq': { passes: weights('hqq'), peers: ['olive'] },
  '4-bit, gptq': { passes: weights('gptq'), peers: ['inc'] },
};

export const recipesOf = (kind) => (kind === 'dense' ? Object.keys(recipes) : ['static int8']);
export const peers = {
  onnxruntime: ['onnxruntime', 'onnx', 'onnx-ir', 'numpy', 'sympy'],
  olive: ['olive-ai', 'onnxruntime', 'onnx', 'requests'],
  inc: ['onnx-neural-compressor', 'onnxruntime', 'onnx', 'prettytable', 'psutil', 'py-cpuinfo', 'scipy'],
};
