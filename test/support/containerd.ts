import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { tryRun } from './run.ts';
import { waitFor } from './wait-for.ts';

/** A containerd of this test alone; `address` is its socket. */
export type Containerd = { readonly address: string; stop(): Promise<void> };

/** Starts containerd with everything below `folder`. */
export async function startContainerd(folder: string): Promise<Containerd> {
  const below = join(folder, 'containerd');
  mkdirSync(below);
  const address = join(below, 'containerd.sock');
  const configuration = join(below, 'config.toml');
  writeFileSync(configuration, configurationFor(below, address));
  const logFile = join(below, 'log');
  const daemon = new Daemon({ command: 'containerd', args: ['--config', configuration], logFile });
  const stop = async () => {
    await daemon.stop();
  };
  try {
    await waitFor('containerd answers', 120_000, async () => {
      if (!daemon.running) return true;
      return (await tryRun('ctr', ['--address', address, 'version'])).code === 0;
    });
    if (!daemon.running) throw new Error('containerd ended');
  } catch (cause) {
    await stop();
    throw new Error(`containerd did not start:\n${daemon.log()}`, { cause });
  }
  return { address, stop };
}

function configurationFor(folder: string, address: string): string {
  return `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${address}"
[ttrpc]
  address = "${address}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
`;
}
