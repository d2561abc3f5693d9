import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { type BlobSeed, bytesOf, sha256, type UniqueManifest } from './content.ts';

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer };
export type Call = {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array | string;
  readonly timeoutMs?: number;
};
export type Credential = { readonly username: string; readonly password: string };
export type Way = 'one request' | 'post and put' | 'chunks';

/** The status of an answer where another one was expected. */
export class UnexpectedStatus extends Error {
  readonly answer: Answer;

  constructor(what: string, answer: Answer) {
    super(`${what}: ${answer.status} ${answer.body.toString('utf8', 0, 300)}`);
    this.answer = answer;
  }
}

/** Speaks the OCI distribution protocol to one server over plain HTTP. Rejects when the connection breaks before the answer is whole. */
export class RegistryClient {
  readonly #origin: string;
  readonly #authorization: string;
  readonly #agent: Agent;

  constructor(origin: string, { username, password }: Credential, connections: 'kept' | 'new' = 'kept') {
    // The address itself: a look-up of localhost for each connection takes threads the tests need.
    this.#origin = origin.replace('//localhost:', '//127.0.0.1:');
    this.#authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    this.#agent = new Agent({ keepAlive: connections === 'kept' });
  }

  call(method: string, path: string, { headers, body, timeoutMs = 60_000 }: Call = {}): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const length = body === undefined ? 0 : Buffer.byteLength(body);
    const outgoing = request(`${this.#origin}${path}`, {
      method,
      agent: this.#agent,
      headers: { authorization: this.#authorization, 'content-length': length, ...headers },
      signal: AbortSignal.timeout(timeoutMs),
    });
    outgoing.once('error', reject);
    outgoing.once('response', (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.once('error', reject);
      incoming.once('end', () =>
        incoming.complete
          ? resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) })
          : reject(new Error('the answer ended short')),
      );
    });
    outgoing.end(body);
    return promise;
  }

  /** As `call`; throws UnexpectedStatus for another status. */
  async expect(status: number, method: string, path: string, call: Call = {}): Promise<Answer> {
    const answer = await this.call(method, path, call);
    if (answer.status !== status) throw new UnexpectedStatus(`${method} ${path}`, answer);
    return answer;
  }

  /** Throws UnexpectedStatus unless the blob is stored. */
  async pushBlob(repository: string, blob: BlobSeed, way: Way = 'post and put'): Promise<void> {
    const uploads = `/v2/${repository}/blobs/uploads/`;
    const bytes = bytesOf(blob);
    if (way === 'one request') {
      await this.expect(201, 'POST', `${uploads}?digest=${blob.digest}`, { body: bytes });
      return;
    }
    let location = locationOf(await this.expect(202, 'POST', uploads));
    let rest = bytes;
    if (way === 'chunks') {
      const half = Math.ceil(bytes.length / 3);
      location = locationOf(await this.expect(202, 'PATCH', location, { body: bytes.subarray(0, half) }));
      location = locationOf(await this.expect(202, 'PATCH', location, { body: bytes.subarray(half, 2 * half) }));
      rest = bytes.subarray(2 * half);
    }
    await this.expect(201, 'PUT', `${location}?digest=${blob.digest}`, { body: rest });
  }

  /** Begins an upload, sends bytes and leaves it open; returns its address. */
  async openUpload(repository: string, bytes: Uint8Array): Promise<string> {
    const location = locationOf(await this.expect(202, 'POST', `/v2/${repository}/blobs/uploads/`));
    return locationOf(await this.expect(202, 'PATCH', location, { body: bytes }));
  }

  /** Throws UnexpectedStatus unless the manifest is stored. */
  async putManifest(repository: string, reference: string, manifest: UniqueManifest): Promise<void> {
    const headers = { 'content-type': manifest.mediaType };
    await this.expect(201, 'PUT', `/v2/${repository}/manifests/${reference}`, { body: manifest.text, headers });
  }

  manifest(repository: string, reference: string): Promise<Answer> {
    return this.call('GET', `/v2/${repository}/manifests/${reference}`);
  }

  blob(repository: string, digest: string): Promise<Answer> {
    return this.call('GET', `/v2/${repository}/blobs/${digest}`);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The path at which an upload goes on. */
export function locationOf(answer: Answer): string {
  const { location } = answer.headers;
  if (location === undefined) throw new UnexpectedStatus('an answer without Location', answer);
  return location;
}

/** Whether a complete answer holds the content of this digest. */
export function isWhole(answer: Answer, digest: string): boolean {
  return answer.status === 200 && sha256(answer.body) === digest;
}
