import { reachable } from './addresses.ts';
import type { Bootstrap } from './bootstrap-file.ts';
import type { Settings } from './settings.ts';

export type ReadyParts = {
  readonly settings: Settings;
  readonly program: { readonly version: string; readonly command: string };
  /** Absent where another server made the installation. */
  readonly bootstrap: Bootstrap | undefined;
  readonly caPath: string;
};

/** What a person wants to know when the server has started. */
export function readyMessage({ settings, program, bootstrap, caPath }: ReadyParts): string {
  const { http, https, management } = settings;
  const origins = [
    ...(http ? [`http://${reachable(http)}`] : []),
    ...(https ? [`https://${reachable(https)}`] : []),
    ...(management ? [`https://${reachable(management)} (control plane)`] : []),
  ];
  const host = http ?? https;
  const lines = [
    ['Addresses', origins.join('  ')],
    ['Authority', `${caPath}  (for clients to trust over https)`],
    ...(bootstrap === undefined || host === undefined
      ? []
      : signIn(settings, program.command, bootstrap, reachable(host))),
  ];
  return [
    `Berth ${program.version} is ready.`,
    '',
    ...lines.map(([name = '', value]) => `  ${name.padEnd(10)} ${value}`),
    '',
  ].join('\n');
}

function signIn(settings: Settings, command: string, { registry }: Bootstrap, host: string): string[][] {
  return [
    ['Registry', registry.loginServer],
    ['Secrets', `${settings.data}/bootstrap.json`],
    [
      'Sign in',
      `${command} credential show ${registry.name} --value --data ${settings.data} | docker login ${host} -u ${registry.username} --password-stdin`,
    ],
    ...(settings.https || settings.management
      ? [['Azure CLI', `eval "$(${command} az-cloud --data ${settings.data})"`]]
      : []),
  ];
}
