import { resolve } from 'node:path';
import { z } from 'zod';
import type { Target } from '../../../../plugin/api.js';
import { writeArchive } from './archive.js';
import { releaseOf } from './history.js';
import { defineImageTarget } from './image-target.js';
import { imageOptions, repositoryOption } from './images.js';
import { type CollectParts, collectParts } from './parts.js';

const options = z
  .strictObject({
    image: repositoryOption
      .optional()
      .describe(
        'Repository to push to, such as registry.example.com/me/iris. Without one, images stay in the folder.',
      ),
    tag: z
      .string()
      .regex(/^[\w][\w.-]{0,127}$/, 'expected letters, digits, _ . and -')
      .default('latest')
      .describe('Tag of the current release; to switch is to move it.'),
    archive: z
      .string()
      .min(1)
      .optional()
      .describe(
        'File for the current image as one tar, for `docker load` and `podman load`, relative to the config file.',
      ),
    ...imageOptions('.maas/oci'),
  })
  .refine(({ image, archive }) => image === undefined || archive === undefined, {
    path: ['archive'],
    message: 'an archive is written from the folder: leave out either `image` or `archive`',
  });

/**
 * Releases as images that any container runtime runs: one layer each for Node, dependencies, model and server, built
 * without a daemon. Each image is tagged with the digest of its release; one more tag names the current one.
 * @param collect What an image holds beside the release.
 */
export function makeOciTarget(collect: CollectParts): Target {
  return defineImageTarget<z.infer<typeof options>>(
    {
      name: 'oci',
      summary: 'Container images, in a folder or pushed to a registry.',
      options,
      current: ({ options: { tag } }, { place }) => releaseOf(place, tag),
      async switchTo({ project, options: { image, tag, archive } }, { layout, place }, next, note) {
        if (archive !== undefined) {
          await writeArchive(layout, next.image, `${project.name}:${tag}`, resolve(project.root, archive));
        }
        await place.tag(tag, next.image);
        note(`${image ?? layout.root}:${tag} → ${next.release.slice(0, 12)}`);
      },
    },
    collect,
  );
}

export const ociTarget = makeOciTarget(collectParts);
