/**
 * The pipeline on one page. Each stage reads what the one before it left on disk:
 *
 *   stage      reads              writes
 *   train      the data           model     model.onnx, signature.json, history.json
 *   compress   model, held-out    model     model.onnx, signature.json, report.json   (when the config asks for it)
 *   deploy     model, held-out    release   model.onnx, signature.json, golden.json; then the target switches to it
 *   serve      the target's current release, until it is stopped
 *
 * Plugins put stages of their own after any of the first three.
 */
export const stageOrder = ['train', 'compress', 'deploy'] as const;
