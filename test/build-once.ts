/** Before any test: dist/ is what src/ says, so that tests of the real CLI do not build it one by one. */
export default async function buildOnce(): Promise<void> {
  const { buildIfStale } = (await import(new URL('../bin/build.js', import.meta.url).href)) as {
    buildIfStale: (root: URL) => Promise<void>;
  };
  await buildIfStale(new URL('..', import.meta.url));
}
