import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDocker } from '../support/docker.ts';
import { withPrivateMounts } from '../support/private-mounts.ts';
import { run, tryRun } from '../support/run.ts';

export type DockerClient = AsyncDisposable & {
  /** Pushes the sample image, removes it here and pulls it again; answers the digest that both named. */
  readonly roundTrip: (repository: string, tag: string) => Promise<string>;
};

/** A push or pull that broke for good is run again so often, as a pipeline does it. */
const moreRuns = 3;
const pauseMs = 2_000;

/** A Docker engine of its own that speaks to the registry at `host`, which is a name of this machine, over plain HTTP. */
export async function dockerClient(options: {
  readonly folder: string;
  readonly host: string;
  readonly caPath: string;
  readonly username: string;
  readonly password: string;
  /** OCI layout with the image `app`. */
  readonly layout: string;
  /** Told of each run of a command that failed, and when it began. */
  readonly onFailure: (startMs: number) => void;
}): Promise<DockerClient> {
  const { folder, host, layout, username, password } = options;
  const engine = await startDocker({ folder, hosts: [], caPath: options.caPath, mounts: [] });
  const config = join(folder, 'client');
  mkdirSync(config);
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  writeFileSync(join(config, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }));
  const words = (args: readonly string[]) =>
    withPrivateMounts(engine.mounts, 'docker', ['--config', config, '--host', engine.address, ...args]);
  const docker = async (...args: readonly string[]) => {
    const { command, args: all } = words(args);
    for (let left = moreRuns; left > 0; left -= 1) {
      const startMs = performance.now();
      const outcome = await tryRun(command, all);
      if (outcome.code === 0) return outcome.stdout;
      options.onFailure(startMs);
      await sleep(pauseMs);
    }
    return (await run(command, all)).stdout;
  };
  const archive = join(folder, 'app.tar');
  await run('skopeo', ['copy', `oci:${layout}:app`, `docker-archive:${archive}:sample:app`]);
  await docker('load', '-i', archive);
  return {
    roundTrip: async (repository, tag) => {
      const image = `${host}/${repository}:${tag}`;
      await docker('tag', 'sample:app', image);
      const pushed = digestIn(await docker('push', image));
      await docker('rmi', '-f', image);
      const pulled = digestIn(await docker('pull', image));
      await docker('rmi', '-f', image);
      if (pushed !== pulled) throw new Error(`docker pushed ${pushed} and pulled ${pulled}`);
      return pushed;
    },
    [Symbol.asyncDispose]: engine.stop,
  };
}

function digestIn(output: string): string {
  const [digest] = /sha256:[0-9a-f]{64}/.exec(output.slice(output.toLowerCase().indexOf('digest:'))) ?? [];
  if (digest === undefined) throw new Error(`docker names no digest: ${output}`);
  return digest;
}
