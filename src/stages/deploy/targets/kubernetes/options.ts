import { z } from 'zod';
import { clusterOptions, dnsLabel, quantity } from '../../../cluster-options.js';
import { imageOptions, repositoryOption } from '../oci/images.js';

const resources = z.strictObject({
  cpu: quantity.optional().describe('Processors, such as 2 or 500m.'),
  memory: quantity.optional().describe('Memory, such as 512Mi.'),
});

/** Options of both targets in a cluster. */
const shared = {
  image: repositoryOption.describe('Repository to push images to, such as registry.example.com/me/iris.'),
  name: dnsLabel.optional().describe('Name of the objects in the cluster. Default: the name of the project.'),
  ...clusterOptions,
  manifests: z
    .string()
    .min(1)
    .optional()
    .describe(
      'YAML file to write the objects to instead of applying them, for whoever applies from a repository.',
    ),
  requests: resources.prefault({ cpu: '100m', memory: '128Mi' }).describe('What each pod is given at least.'),
  limits: resources.prefault({ memory: '1Gi' }).describe('What each pod may take at most.'),
  pullSecrets: z.array(z.string()).default([]).describe('Secrets with the login for the registry.'),
  timeout: z.int().positive().default(300).describe('Seconds in which all pods must be ready.'),
  ...imageOptions('.maas/oci'),
};

export const kubernetesOptions = z.strictObject({
  replicas: z.int().min(1).default(2).describe('Pods; with `autoscale` the fewest.'),
  autoscale: z
    .strictObject({
      max: z.int().min(1).describe('Most pods.'),
      cpu: z.int().min(1).max(100).default(70).describe('Percent of the requested CPU to aim at.'),
    })
    .optional()
    .describe('Have the number of pods follow the load (HorizontalPodAutoscaler).'),
  ...shared,
});

export const kserveOptions = z.strictObject({
  minReplicas: z.int().min(0).default(1).describe('Fewest pods; 0 needs serverless mode.'),
  maxReplicas: z.int().min(1).default(3).describe('Most pods.'),
  canaryTrafficPercent: z
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe('Share of the requests that the next release gets at first; serverless mode only.'),
  ...shared,
});

export type KubernetesOptions = z.infer<typeof kubernetesOptions>;
export type KserveOptions = z.infer<typeof kserveOptions>;
export type ClusterOptions = KubernetesOptions | KserveOptions;
