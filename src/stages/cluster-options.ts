import { z } from 'zod';

/** An amount of something, as Kubernetes writes it. */
export const quantity = z
  .string()
  .regex(/^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/, 'expected a quantity, such as 500m or 512Mi');

/** A name of RFC 1123, as most objects of Kubernetes have it. */
export const dnsLabel = z
  .string()
  .regex(
    /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/,
    'expected lower-case letters, digits and -, such as iris-model',
  );

/** Which part of which cluster. */
export const clusterOptions = {
  namespace: dnsLabel.default('default').describe('Namespace of the objects; it must exist.'),
  context: z.string().min(1).optional().describe('Context of the kubeconfig. Default: its current one.'),
  kubeconfig: z
    .string()
    .min(1)
    .optional()
    .describe('Kubeconfig, relative to the config file. Default: as kubectl finds it.'),
};

/** The name of a project as Kubernetes takes it; empty when nothing of it can be used. */
export function clusterName(project: string): string {
  return project
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 63);
}
