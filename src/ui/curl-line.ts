import { encodePng } from '../data/images/png.js';
import type { Feature, Signature } from '../data/signature.js';

/** A command to paste that asks a served model about a plausible row: middles of ranges, first categories. */
export function curlLine(url: string, signature: Signature): string {
  const [first, ...others] = signature.features;
  if (first?.type === 'image' && others.length === 0)
    return `curl -s ${url}/predict -H 'content-type: image/png' --data-binary @image.png`;
  const row = Object.fromEntries(signature.features.map((feature) => [feature.name, exampleOf(feature)]));
  // Single quotes end at a single quote; column names may hold one.
  const body = JSON.stringify(row).replaceAll("'", String.raw`'\''`);
  return `curl -s ${url}/predict -H 'content-type: application/json' -d '${body}'`;
}

function exampleOf({ type, image, min = 0, max = 0, categories = [], shape = [] }: Feature): unknown {
  if (type === 'array')
    return shape.reduceRight<unknown>((inner, size) => new Array<unknown>(size).fill(inner), 0);
  if (image) {
    const gray = new Uint8Array(image.channels).fill(128);
    return encodePng(gray, [image.channels, 1, 1]).toString('base64');
  }
  return type === 'category' ? (categories[0] ?? '') : Number(((min + max) / 2).toPrecision(2));
}
