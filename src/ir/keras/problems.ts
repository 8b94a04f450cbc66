import { MaasError } from '../../errors.js';

/** A layer, for messages: its name in the file and its Keras class. */
export interface LayerTitle {
  readonly name: string;
  readonly className: string;
}

export const invalidKeras = (message: string, cause?: unknown): MaasError =>
  new MaasError('MAAS_MODEL_INVALID', message, {
    hint: 'Check that the file is a whole layers-model, as model.save of TensorFlow.js or tensorflowjs_converter writes it.',
    ...(cause !== undefined && { cause }),
  });

/** The error for a layer, or one of its settings, that maas cannot express in ONNX. */
export const unsupportedLayer = ({ name, className }: LayerTitle, why: string): MaasError =>
  new MaasError('MAAS_MODEL_UNSUPPORTED', `the layer ${name} (${className}) cannot be imported: ${why}`, {
    hint: 'Change the layer, or export the model to ONNX (tf2onnx) and write model: {onnx: FILE}.',
    details: { layer: name, class: className },
  });
