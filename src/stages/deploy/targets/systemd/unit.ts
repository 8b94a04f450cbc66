/** What a unit runs. All paths are absolute. */
export interface UnitOptions {
  readonly name: string;
  /** Node that runs the server. */
  readonly node: string;
  /** This package's command line. */
  readonly script: string;
  readonly configFile: string;
  readonly root: string;
  /** `system` runs it as a user of its own that exists only while it runs; `user` as whoever deploys. */
  readonly scope: 'system' | 'user';
  /** Most memory, as systemd writes it. */
  readonly memory: string | undefined;
}

/** Seconds that a server has to answer what it was asked. */
const drain = 30;

/**
 * A unit for `maas serve`, with every door closed that a server of models does not need (systemd.exec(5)). Node compiles while it
 * runs, so that memory may not be forbidden to be written and executed.
 */
export function writeUnit({ name, node, script, configFile, root, scope, memory }: UnitOptions): string {
  const isSystem = scope === 'system';
  const service = [
    'Type=exec',
    `WorkingDirectory=${quoteSpecifiers(root)}`,
    `ExecStart=${[node, script, 'serve', '--config', configFile, '--events'].map(quote).join(' ')}`,
    'Environment=NODE_ENV=production ORT_DISABLE_TELEMETRY=1',
    'Restart=on-failure',
    'RestartSec=1',
    `TimeoutStopSec=${drain + 5}`,
    'KillMode=mixed',
    ...(isSystem
      ? ['DynamicUser=yes', 'ProtectHome=read-only', 'ProcSubset=pid', 'ProtectProc=invisible']
      : []),
    ...(memory === undefined ? [] : [`MemoryMax=${memory}`]),
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'AmbientCapabilities=',
    'LockPersonality=yes',
    'PrivateDevices=yes',
    'PrivateTmp=yes',
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'ProtectSystem=strict',
    'RemoveIPC=yes',
    'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@privileged @resources',
    'UMask=0077',
  ];
  return [
    '[Unit]',
    `Description=Model ${quoteSpecifiers(name)}, served by maas`,
    'After=network-online.target',
    'Wants=network-online.target',
    '',
    '[Service]',
    ...service,
    '',
    '[Install]',
    `WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}`,
    '',
  ].join('\n');
}

/** A word of a command line (systemd.service(5), "COMMAND LINES"). */
function quote(word: string): string {
  const escaped = quoteSpecifiers(word)
    .replace(/[\\"]/g, '\\$&')
    .replaceAll('$', () => '$$');
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/** A percent sign starts a specifier. */
function quoteSpecifiers(text: string): string {
  return text.replaceAll('%', '%%');
}
