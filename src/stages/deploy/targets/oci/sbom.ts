import { canonicalJson } from '../../../../artifacts/index.js';
import type { BundledPackage } from './bundle.js';

/**
 * What software is in an image, as CycloneDX 1.5. It tells no time and has no serial number, so that the same image has
 * the same bill of materials.
 */
export function describeSoftware(packages: readonly BundledPackage[], libraries: readonly string[]): string {
  const components = [
    {
      type: 'application',
      name: 'node',
      version: process.versions.node,
      purl: `pkg:generic/node@${process.versions.node}`,
    },
    ...packages.map(({ name, version, license }) => ({
      type: 'library',
      'bom-ref': packageUrl(name, version),
      name,
      version,
      purl: packageUrl(name, version),
      ...(license !== undefined && { licenses: [{ expression: license }] }),
    })),
    ...libraries.map((path) => ({ type: 'file', name: path })),
  ];
  return canonicalJson({ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, components });
}

/** package-url of an npm package: the @ of a scope is escaped. */
function packageUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}
