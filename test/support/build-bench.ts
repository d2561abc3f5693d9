import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openWorkbench, type Workbench } from '../end-to-end/workbench.ts';
import { AzMachine, azReleases } from './az-machine.ts';
import type { BerthOptions } from './berth-server.ts';

export type BuildBenchOptions = {
  readonly settings?: BerthOptions['settings'];
  /** Debian's own `az`, unless. */
  readonly release?: 'newest';
  /** Of the base image. In Docker's, lifecycles of buildpacks add layers of theirs; else it is as the sample has it. */
  readonly form?: 'docker';
};

export type BuildBench = {
  readonly bench: Workbench;
  readonly az: AzMachine;
  /** Makes a folder with these files, programs where they begin as such; `REGISTRY/` in them is that of the bench. */
  readonly folderOf: (name: string, files: Readonly<Record<string, string>>) => string;
};

/** What tests of builds begin with: a server, an `az` that is signed in there, and Debian as `debian:12` in its registry. */
export async function openBuildBench({ settings, release, form }: BuildBenchOptions = {}): Promise<BuildBench> {
  const bench = await openWorkbench(settings === undefined ? {} : { settings });
  const chosen = release === 'newest' ? azReleases.at(-1) : azReleases[0];
  assert.ok(chosen !== undefined);
  const az = await AzMachine.setUp(bench.server, chosen, join(bench.folder, 'az'));
  const words = ['--dest-creds', `${bench.username}:${bench.password}`, '--dest-cert-dir', bench.certificates];
  if (form === 'docker') words.push('--format', 'v2s2');
  await bench.run('skopeo', ['copy', ...words, 'oci:samples:base', `docker://${bench.named.host}/debian:12`]);
  return { bench, az, folderOf: (name, files) => writeFolder(bench, name, files) };
}

function writeFolder(bench: Workbench, name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(bench.folder, name);
  for (const [file, text] of Object.entries(files)) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text.replaceAll('REGISTRY/', `${bench.named.host}/`));
    chmodSync(path, text.startsWith('#!') ? 0o755 : 0o644);
  }
  return folder;
}
