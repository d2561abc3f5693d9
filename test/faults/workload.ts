import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BlobSeed, blobSeed, bytesOf, descriptorOf, imageOf, indexOf } from './content.ts';
import type { Done, History, Operation, Outcome, PushEntry } from './history.ts';
import { isWhole, type RegistryClient, UnexpectedStatus, type Way } from './registry-client.ts';

export type WorkloadSize = {
  readonly pushers: number;
  readonly pullers: number;
  readonly deleters: number;
  /** Bytes of the largest blob. */
  readonly maxBlobBytes?: number;
};

export const usualSize: WorkloadSize = { pushers: 10, pullers: 5, deleters: 2 };

const repositories = ['faults/alpha', 'faults/beta', 'faults/gamma'];
const registers = ['latest', 'stable'];
const ways: readonly Way[] = ['one request', 'post and put', 'chunks'];

/** Clients that push, pull and delete at once, and write down what they were told. */
export class Workload {
  readonly #client: RegistryClient;
  readonly #history: History;
  readonly #size: WorkloadSize;
  /** Layers that images of all pushers share, so that pushes of one digest meet. */
  readonly #shared = Array.from({ length: 6 }, () => blobSeed(randomInt(1, 50_000)));
  readonly #pushed: PushEntry[] = [];
  readonly #touched = new Set<string>();
  #serial = 0;

  constructor(client: RegistryClient, history: History, size: WorkloadSize = usualSize) {
    this.#client = client;
    this.#history = history;
    this.#size = size;
  }

  /** Runs until the signal; resolves when every client has stopped. Broken connections are part of the work. */
  async run(signal: AbortSignal): Promise<void> {
    const { pushers, pullers, deleters } = this.#size;
    const clients = [
      ...Array.from({ length: pushers }, () => () => this.#push()),
      ...Array.from({ length: pullers }, () => () => this.#pull()),
      ...Array.from({ length: deleters }, () => () => this.#delete()),
    ];
    await Promise.all(clients.map((work) => repeat(signal, work)));
  }

  async #push(): Promise<void> {
    const repository = pick(repositories);
    const blobs = [blobSeed(randomInt(1, this.#size.maxBlobBytes ?? 200_000)), pick(this.#shared), pick(this.#shared)];
    for (const blob of blobs) if (!(await this.#pushBlob(repository, blob))) return;
    const dice = randomInt(10);
    if (dice < 2) return await this.#pushIndex(repository, blobs);
    const subject = dice < 4 ? this.#pushed.findLast((push) => push.repository === repository) : undefined;
    const manifest = imageOf(blobs, subject === undefined ? undefined : descriptorOf(subject.manifest));
    const isRegister = dice < 7;
    const tag = isRegister ? pick(registers) : this.#freshTag();
    await this.#putManifest({ repository, tag, isRegister, manifest, blobs, subject: subject?.manifest.digest });
  }

  async #pushIndex(repository: string, blobs: readonly BlobSeed[]): Promise<void> {
    const children = [imageOf(blobs), imageOf(blobs)];
    const common = { repository, isRegister: false, blobs, subject: undefined };
    for (const manifest of children) {
      if (!(await this.#putManifest({ ...common, tag: undefined, manifest }))) return;
    }
    await this.#putManifest({ ...common, tag: this.#freshTag(), manifest: indexOf(children.map(descriptorOf)) });
  }

  /** As clients do: asks first, sometimes mounts from another repository, sometimes gives up half way. */
  async #pushBlob(repository: string, blob: BlobSeed): Promise<boolean> {
    const { status } = await this.#client.call('HEAD', `/v2/${repository}/blobs/${blob.digest}`);
    if (status === 200) return true;
    const dice = randomInt(20);
    if (dice === 0) {
      await this.#client.openUpload(repository, bytesOf(blob).subarray(0, blob.sizeBytes / 2));
      return false;
    }
    const from = dice < 4 ? `&from=${pick(repositories)}` : undefined;
    const outcome = await this.#recorded({ kind: 'blob', repository, blob }, async () => {
      if (from === undefined) return await this.#client.pushBlob(repository, blob, pick(ways));
      const mount = await this.#client.call('POST', `/v2/${repository}/blobs/uploads/?mount=${blob.digest}${from}`);
      if (mount.status !== 201) await this.#client.pushBlob(repository, blob);
    });
    return outcome === 'ok';
  }

  async #putManifest(push: Omit<PushEntry, 'kind'>): Promise<boolean> {
    const entry: PushEntry = { kind: 'push', ...push };
    const outcome = await this.#recorded(entry, () =>
      this.#client.putManifest(push.repository, push.tag ?? push.manifest.digest, push.manifest),
    );
    if (outcome === 'ok') this.#pushed.push(entry);
    return outcome === 'ok';
  }

  async #pull(): Promise<void> {
    await sleep(randomInt(5));
    if (randomInt(3) === 0) return await this.#readRegister();
    const push = this.#pushed[randomInt(this.#pushed.length + 1)];
    if (push === undefined || push.isRegister) return;
    const reference = push.tag ?? push.manifest.digest;
    const answer = await this.#client.manifest(push.repository, reference);
    if (answer.status === 404 && this.#touched.has(push.manifest.digest)) return;
    if (!isWhole(answer, push.manifest.digest)) this.#violated(push, reference, answer.status);
    for (const { digest } of push.blobs) {
      const blob = await this.#client.blob(push.repository, digest);
      if (!isWhole(blob, digest)) this.#violated(push, `its blob ${digest}`, blob.status);
    }
  }

  async #readRegister(): Promise<void> {
    const repository = pick(repositories);
    const tag = pick(registers);
    await readRegister(this.#client, this.#history, { repository, tag });
  }

  /** By tag or by digest, each manifest at most once, and never one that a tag with many writers may name. */
  async #delete(): Promise<void> {
    await sleep(randomInt(30));
    const push = this.#pushed[randomInt(this.#pushed.length + 1)];
    if (push?.tag === undefined || push.isRegister || this.#touched.has(push.manifest.digest)) return;
    this.#touched.add(push.manifest.digest);
    const { repository, tag, manifest } = push;
    const reference = randomInt(2) === 0 ? tag : manifest.digest;
    await this.#recorded({ kind: 'delete', repository, reference }, async () => {
      await this.#client.expect(202, 'DELETE', `/v2/${repository}/manifests/${reference}`);
    });
  }

  async #recorded(operation: Operation, work: () => Promise<void>): Promise<Outcome> {
    const { outcome, status, error, ...times } = await timed(work);
    const written = this.#history.append({
      ...operation,
      ...times,
      outcome,
      ...(status === undefined ? {} : { status }),
    });
    if (error !== undefined) throw error;
    return written.outcome;
  }

  #violated(push: PushEntry, what: string, status: number): void {
    const text = `${push.repository}@${push.manifest.digest}: ${what} answers ${status}`;
    this.#history.append({ kind: 'violation', text, status });
  }

  #freshTag(): string {
    this.#serial += 1;
    return `v${this.#serial}-${this.#shared[0]?.seed.slice(0, 8)}`;
  }
}

/** Every tag that a workload writes many times. */
export const allRegisters = repositories.flatMap((repository) => registers.map((tag) => ({ repository, tag })));

/** Reads what a register holds now, and writes it down. */
export async function readRegister(
  client: RegistryClient,
  history: History,
  { repository, tag }: { readonly repository: string; readonly tag: string },
): Promise<Done> {
  const startMs = performance.now();
  const { status, headers } = await client.manifest(repository, tag);
  const held = headers['docker-content-digest'];
  const digest = status === 200 ? String(held) : undefined;
  const isAnswer = status === 200 || status === 404;
  const outcome = isAnswer ? 'ok' : 'refused';
  const entry: Done = { kind: 'read', repository, tag, digest, startMs, endMs: performance.now(), outcome, status };
  return history.append(entry);
}

async function timed(work: () => Promise<void>) {
  const startMs = performance.now();
  const ended = () => ({ startMs, endMs: performance.now() });
  try {
    await work();
    return { ...ended(), outcome: 'ok' as const, status: undefined, error: undefined };
  } catch (error) {
    if (error instanceof UnexpectedStatus)
      return { ...ended(), outcome: 'refused' as const, status: error.answer.status, error: undefined };
    return { ...ended(), outcome: 'unknown' as const, status: undefined, error };
  }
}

/** A connection that breaks ends one piece of work; the client goes on with the next. */
async function repeat(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch {
      // Killed servers break connections; what was asked is in the history as unknown.
      await sleep(10);
    }
  }
}

function pick<T>(all: readonly T[]): T {
  const one = all[randomInt(all.length)];
  if (one === undefined) throw new Error('nothing to pick from');
  return one;
}
