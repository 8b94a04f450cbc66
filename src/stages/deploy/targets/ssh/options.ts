import { z } from 'zod';

/** A path that a shell takes as it is written. */
const remotePath = z
  .string()
  .regex(/^[\w./@+-]+$/, 'expected letters, digits, and any of _ . / @ + -')
  .refine((path) => !path.startsWith('-'), 'a path may not begin with -');

export const sshOptions = z.strictObject({
  host: z
    .string()
    .regex(/^[A-Za-z0-9_][\w.:@%-]*$/, 'expected HOST or USER@HOST')
    .describe('Machine to deploy to, as `ssh` takes it: HOST, USER@HOST, or a name from ~/.ssh/config.'),
  port: z.int().min(1).max(65535).optional().describe('Port of its ssh.'),
  identity: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File with the private key to log in with, relative to the config file. Default: the agent, and ssh’s own.',
    ),
  knownHosts: z
    .string()
    .min(1)
    .optional()
    .describe('File with the keys of hosts that are known, relative to the config file. Default: ssh’s own.'),
  directory: remotePath
    .optional()
    .describe(
      'Folder there, below the home of who logs in when it is relative. Default: maas/ and the project’s name.',
    ),
  node: remotePath.default('node').describe('Node there, 20 or later.'),
  restart: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Command that starts the service there, or has it start anew, such as `systemctl --user restart iris`. It runs in the folder when the server is another one; a running server goes over to a release by itself.',
    ),
  observe: z
    .int()
    .min(1)
    .max(65535)
    .optional()
    .describe(
      'Port there, on 127.0.0.1, at which the service has to answer with the new release; else it is taken back.',
    ),
  timeout: z
    .number()
    .positive()
    .default(60)
    .describe('Seconds in which a server there must be ready and answer.'),
});

export type SshOptions = z.infer<typeof sshOptions>;
