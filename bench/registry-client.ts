import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Answer, headerOf } from './http/answer-reader.ts';
import { Connection, type WireRequest } from './http/connection.ts';
import { type Blob, type Image, manifestType } from './images.ts';
import type { Recorder } from './recorder.ts';
import type { Target } from './servers/target.ts';

const octetStream = 'application/octet-stream';
const manifestSchema = z.object({
  config: z.object({ digest: z.string(), size: z.number() }),
  layers: z.array(z.object({ digest: z.string(), size: z.number() })),
});
const metadataPageSchema = z.object({ tags: z.array(z.object({ name: z.string(), digest: z.string() })) });
const tagListSchema = z.object({ tags: z.array(z.string()).nullable() });

type Step = {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: { readonly sizeBytes: number; readonly pieces: Iterable<Uint8Array> };
  readonly keepsBody?: boolean;
};

/** A registry answered a step with another status or length than the step needs. */
export class UnexpectedAnswer extends Error {}

/**
 * One simulated client on one connection: the requests that `zb` makes, in its order. Unlike `zb` it keeps the query of a
 * `Location` and sends `Accept` on manifests, which distribution and others need. Each step is timed into the recorder.
 */
export class RegistryClient {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #connection: Connection;

  constructor(target: Target, recorder: Recorder) {
    this.#target = target;
    this.#recorder = recorder;
    this.#connection = new Connection(target.origin);
  }

  close(): void {
    this.#connection.close();
  }

  /** POST, PUT layer, POST, PUT config, PUT manifest. */
  async pushMonolith(repository: string, tag: string, image: Image): Promise<void> {
    await this.uploadMonolith(repository, image.layer, 'layer');
    await this.uploadMonolith(repository, image.config, 'config');
    await this.putManifest(repository, tag, image.manifest);
  }

  /** POST, PATCH layer, PUT; POST, empty PATCH, PATCH config to the Location from before, PUT; PUT manifest. */
  async pushChunked(repository: string, tag: string, image: Image): Promise<void> {
    await this.uploadStreamed(repository, image.layer, 'layer');
    const start = await this.#startUpload(repository, 'config');
    await this.#patch(start, { sizeBytes: 0, pieces: [] }, 'PATCH config (empty)');
    const end = await this.#patch(start, image.config, 'PATCH config');
    await this.#finish(end, image.config, 'PUT config (close)');
    await this.putManifest(repository, tag, image.manifest);
  }

  async uploadMonolith(repository: string, blob: Blob, part: string): Promise<void> {
    const location = await this.#startUpload(repository, part);
    const path = withDigest(location, blob.digest);
    const headers = { 'Content-Type': octetStream };
    await this.#do({ name: `PUT ${part}`, method: 'PUT', path, status: 201, headers, body: blob });
    this.#recorder.payload(blob.sizeBytes);
  }

  async uploadStreamed(repository: string, blob: Blob, part: string): Promise<void> {
    const start = await this.#startUpload(repository, part);
    const end = await this.#patch(start, blob, `PATCH ${part}`);
    this.#recorder.payload(blob.sizeBytes);
    await this.#finish(end, blob, `PUT ${part} (close)`);
  }

  async putManifest(repository: string, reference: string, manifest: string): Promise<void> {
    const bytes = Buffer.from(manifest);
    await this.#do({
      name: 'PUT manifest',
      method: 'PUT',
      path: `/v2/${repository}/manifests/${reference}`,
      status: 201,
      headers: { 'Content-Type': manifestType },
      body: { sizeBytes: bytes.length, pieces: [bytes] },
    });
  }

  /** HEAD and GET of manifest, config and every layer. Throws when a length is not the announced one. */
  async pull(repository: string, tag: string): Promise<void> {
    const path = `/v2/${repository}/manifests/${tag}`;
    const headers = { Accept: manifestType };
    await this.#do({ name: 'HEAD manifest', method: 'HEAD', path, status: 200, headers });
    const got = await this.#do({ name: 'GET manifest', method: 'GET', path, status: 200, headers, keepsBody: true });
    const manifest = manifestSchema.parse(JSON.parse(got.body.toString()));
    await this.#pullBlob(repository, manifest.config, 'config');
    for (const layer of manifest.layers) await this.#pullBlob(repository, layer, 'layer');
  }

  async getBlob(repository: string, blob: { digest: string; size: number }, part: string): Promise<void> {
    const path = `/v2/${repository}/blobs/${blob.digest}`;
    const answer = await this.#do({ name: `GET ${part}`, method: 'GET', path, status: 200 });
    if (answer.bodyBytes !== blob.size)
      throw new UnexpectedAnswer(`GET ${part}: ${answer.bodyBytes} of ${blob.size} bytes`);
    this.#recorder.payload(answer.bodyBytes);
  }

  /** Reads a blob and compares its digest. Throws when it is another one. */
  async checkBlob(repository: string, digest: string): Promise<void> {
    const path = `/v2/${repository}/blobs/${digest}`;
    const answer = await this.#do({ name: 'GET layer (check)', method: 'GET', path, status: 200, keepsBody: true });
    if (sha256(answer.body) !== digest) throw new UnexpectedAnswer(`${digest} came back with other bytes`);
  }

  async catalog(): Promise<void> {
    await this.#do({ name: 'GET _catalog', method: 'GET', path: '/v2/_catalog', status: 200 });
  }

  async tagPage(repository: string, count: number, last: string): Promise<string[]> {
    const path = `/v2/${repository}/tags/list?n=${count}&last=${last}`;
    return await this.#tags(path);
  }

  /** Tags with their metadata, as Azure Container Registry lists them; how many the page has. */
  async metadataPage(repository: string, count: number, order: '' | 'timedesc', last: string): Promise<number> {
    const path = `/acr/v1/${repository}/_tags?n=${count}&orderby=${order}&last=${last}`;
    const answer = await this.#do({ name: 'GET _tags', method: 'GET', path, status: 200, keepsBody: true });
    return metadataPageSchema.parse(JSON.parse(answer.body.toString())).tags.length;
  }

  /** `zb`'s clean-up: for every tag GET the manifest, then DELETE the manifest by digest, its layers, its config. */
  async removeRepository(repository: string): Promise<void> {
    for (const tag of await this.#tags(`/v2/${repository}/tags/list`)) {
      const path = `/v2/${repository}/manifests/${tag}`;
      const headers = { Accept: manifestType };
      const got = await this.#do({ name: 'clean-up GET', method: 'GET', path, status: 200, headers, keepsBody: true });
      const manifest = manifestSchema.parse(JSON.parse(got.body.toString()));
      const digest = headerOf(got, 'docker-content-digest') ?? sha256(got.body);
      await this.#remove(`/v2/${repository}/manifests/${digest}`);
      for (const blob of [...manifest.layers, manifest.config])
        await this.#remove(`/v2/${repository}/blobs/${blob.digest}`);
    }
  }

  async #pullBlob(repository: string, blob: { digest: string; size: number }, part: string): Promise<void> {
    const path = `/v2/${repository}/blobs/${blob.digest}`;
    await this.#do({ name: `HEAD ${part}`, method: 'HEAD', path, status: 200 });
    await this.getBlob(repository, blob, part);
  }

  async #tags(path: string): Promise<string[]> {
    const answer = await this.#do({ name: 'GET tags/list', method: 'GET', path, status: 200, keepsBody: true });
    return tagListSchema.parse(JSON.parse(answer.body.toString())).tags ?? [];
  }

  async #remove(path: string): Promise<void> {
    await this.#do({ name: 'clean-up DELETE', method: 'DELETE', path, status: 202 });
  }

  async #startUpload(repository: string, part: string): Promise<string> {
    const path = `/v2/${repository}/blobs/uploads/`;
    const body = { sizeBytes: 0, pieces: [] };
    return locationOf(await this.#do({ name: `POST ${part}`, method: 'POST', path, status: 202, body }));
  }

  async #patch(location: string, body: Omit<Blob, 'digest'>, name: string): Promise<string> {
    const headers = { 'Content-Type': octetStream };
    return locationOf(await this.#do({ name, method: 'PATCH', path: location, status: 202, headers, body }));
  }

  async #finish(location: string, blob: Blob, name: string): Promise<void> {
    const body = { sizeBytes: 0, pieces: [] };
    await this.#do({ name, method: 'PUT', path: withDigest(location, blob.digest), status: 201, body });
  }

  async #do(step: Step): Promise<Answer> {
    const start = performance.now();
    const answer = await this.#connection.send(this.#wire(step));
    this.#recorder.step(step.name, performance.now() - start);
    if (answer.status !== step.status)
      throw new UnexpectedAnswer(`${step.name}: ${answer.status}, expected ${step.status}`);
    return answer;
  }

  #wire(step: Step): WireRequest {
    const lines = [`${step.method} ${step.path} HTTP/1.1`, ...this.#target.authorizationLines];
    for (const [name, value] of Object.entries(step.headers ?? {})) lines.push(`${name}: ${value}`);
    if (step.body !== undefined) lines.push(`Content-Length: ${step.body.sizeBytes}`);
    return {
      head: `${lines.join('\r\n')}\r\n`,
      ...(step.body === undefined ? {} : { body: step.body.pieces }),
      keepsBody: step.keepsBody ?? false,
    };
  }
}

/** Path and query of an upload's `Location`, which may be absolute. */
function locationOf(answer: Answer): string {
  const location = headerOf(answer, 'location');
  if (location === undefined) throw new UnexpectedAnswer('upload without Location');
  const url = new URL(location, 'http://registry');
  return url.pathname + url.search;
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
