import { canonicalJson } from '../../../../artifacts/index.js';
import type { BaseImage } from './base-image.js';
import type { Facts } from './packages.js';
import type { LayerFile } from './tar-layer.js';

/**
 * What software is in an image, as CycloneDX 1.5. It tells no time and has no serial number, so that the same image has
 * the same bill of materials.
 */
export function describeSoftware(packages: readonly Facts[], base: readonly object[]): string {
  const components = [
    ...base,
    ...packages.map(({ name, version, license }) => ({
      type: 'library',
      'bom-ref': packageUrl(name, version),
      name,
      version,
      purl: packageUrl(name, version),
      ...(license !== undefined && { licenses: [{ expression: license }] }),
    })),
  ];
  return canonicalJson({ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, components });
}

/** The components that an image is built on: an image, or this very Node and its shared libraries. */
export function describeBase(base: readonly LayerFile[] | BaseImage): object[] {
  if ('reference' in base) {
    const [name, version] = base.reference.split('@');
    return [{ type: 'container', name, version }];
  }
  const { node } = process.versions;
  const libraries = base.map(({ path }) => path).filter((path) => /\.so(\.|$)/.test(path));
  return [
    { type: 'application', name: 'node', version: node, purl: `pkg:generic/node@${node}` },
    ...libraries.map((path) => ({ type: 'file', name: path })),
  ];
}

/** package-url of an npm package: the @ of a scope is escaped. */
function packageUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}
