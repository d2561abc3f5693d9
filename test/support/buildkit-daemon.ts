import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsFiles } from '../../src/agent/executors/buildkit-address.ts';
import { Daemon } from './daemon.ts';
import { goTool } from './go-tools.ts';
import { withPrivateMounts } from './private-mounts.ts';
import { run, tryRun } from './run.ts';
import { waitFor } from './wait-for.ts';

export type BuildKitDaemonOptions = {
  /** Of its own; made here. */
  readonly folder: string;
  /** Names of this machine, for `/etc/hosts` as the daemon sees it. */
  readonly hosts: string;
  /** Registries by `host:port`, with the authority that signed their certificates. */
  readonly registries: ReadonlyMap<string, string>;
  /** Beside the socket: arguments such as `--addr tcp://…`. */
  readonly args?: readonly string[];
};

/** A BuildKit with a worker by runc, built from its source the first time. Needs root. */
export class BuildKitDaemon {
  readonly address: string;
  readonly buildctl: string;
  readonly #daemon: Daemon;

  private constructor(address: string, buildctl: string, daemon: Daemon) {
    this.address = address;
    this.buildctl = buildctl;
    this.#daemon = daemon;
  }

  static async start({ folder, hosts, registries, args = [] }: BuildKitDaemonOptions): Promise<BuildKitDaemon> {
    const [buildctl, buildkitd] = [await goTool('buildctl'), await goTool('buildkitd')];
    mkdirSync(folder, { recursive: true });
    const config = join(folder, 'buildkitd.toml');
    writeFileSync(config, configOf(registries));
    const address = `unix://${join(folder, 'socket')}`;
    const words = ['--config', config, '--root', join(folder, 'root'), '--addr', address, ...args];
    const daemon = new Daemon({
      ...withPrivateMounts([{ from: hosts, over: '/etc/hosts' }], buildkitd, words),
      logFile: join(folder, 'log'),
    });
    const started = new BuildKitDaemon(address, buildctl, daemon);
    try {
      await waitFor('BuildKit answers', 120_000, async () => {
        if (!daemon.running) throw new Error(`buildkitd ended: ${daemon.log()}`);
        return (await tryRun(buildctl, ['--addr', address, 'debug', 'info'])).code === 0;
      });
    } catch (cause) {
      await started.stop();
      throw cause;
    }
    return started;
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  log(): string {
    return this.#daemon.log();
  }

  /** What its history has kept of builds, and what is being built: one line each. */
  async history(): Promise<string> {
    return (await run(this.buildctl, ['--addr', this.address, 'debug', 'histories'])).stdout;
  }

  /** Throws away all layers that it keeps. */
  async forget(): Promise<void> {
    await run(this.buildctl, ['--addr', this.address, 'prune', '--all']);
  }

  async stop(): Promise<void> {
    await this.#daemon.stop(10_000);
  }
}

/** A certificate for 127.0.0.1 that is its own authority, for both ends; returns the paths of its files. */
export async function ownCertificate(folder: string): Promise<TlsFiles> {
  mkdirSync(folder, { recursive: true });
  const [certificate, key] = [join(folder, 'certificate.pem'), join(folder, 'key.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=buildkit', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await run('openssl', ['req', ...kind, ...names, '-keyout', key, '-out', certificate]);
  return { ca: certificate, certificate, key };
}

/** The machine's own network, as there is no other here. */
function configOf(registries: ReadonlyMap<string, string>): string {
  const trusted = [...registries].map(([server, ca]) => `[registry."${server}"]\n  ca = ["${ca}"]\n`);
  const worker = '[worker.oci]\n  enabled = true\n  binary = "runc"\n  networkMode = "host"\n';
  return `${worker}[worker.containerd]\n  enabled = false\n${trusted.join('')}`;
}
