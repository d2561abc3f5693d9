import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { type PrivateMount, withPrivateMounts } from './private-mounts.ts';
import { tryRun } from './run.ts';
import { waitFor } from './wait-for.ts';

/** A Docker engine of this test alone, with the containerd that it starts itself. */
export type Docker = { readonly address: string; readonly mounts: readonly PrivateMount[]; stop(): Promise<void> };

/**
 * Starts dockerd with everything below `folder`. It trusts `caPath` for the hosts given: its /etc/docker is a folder of
 * its own, and so must the command line's be (`mounts`), which reads certificates there too.
 */
export async function startDocker(options: {
  readonly folder: string;
  readonly hosts: readonly string[];
  readonly caPath: string;
  readonly mounts: readonly PrivateMount[];
}): Promise<Docker> {
  const folder = join(options.folder, 'docker');
  for (const host of options.hosts) copyInto(join(folder, 'etc/certs.d', host), options.caPath);
  mkdirSync(join(folder, 'etc/certs.d'), { recursive: true });
  mkdirSync('/etc/docker', { recursive: true });
  const mounts = [...options.mounts, { from: join(folder, 'etc'), over: '/etc/docker' }];
  const address = `unix://${folder}/docker.sock`;
  const { command, args } = withPrivateMounts(mounts, 'dockerd', [
    ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'pid')],
    ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--host', address],
  ]);
  const daemon = new Daemon({ command, args, logFile: join(options.folder, 'dockerd.log') });
  const stop = async () => {
    await daemon.stop();
  };
  try {
    await waitFor('dockerd answers', 120_000, async () => {
      if (!daemon.running) return true;
      return (await tryRun('docker', ['--host', address, 'info'])).code === 0;
    });
    if (!daemon.running) throw new Error('dockerd ended');
  } catch (cause) {
    await stop();
    throw new Error(`dockerd did not start:\n${daemon.log()}`, { cause });
  }
  return { address, mounts, stop };
}

function copyInto(folder: string, file: string): void {
  mkdirSync(folder, { recursive: true });
  copyFileSync(file, join(folder, 'ca.crt'));
}
