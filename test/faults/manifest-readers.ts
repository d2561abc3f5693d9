import { Connection } from '../../bench/http/connection.ts';
import { ImageSource, MiB, manifestType } from '../../bench/images.ts';
import { type Latency, latencyOf, Recorder } from '../../bench/recorder.ts';
import { RegistryClient } from '../../bench/registry-client.ts';
import { together } from '../../bench/sequence.ts';
import { basicLine, pullLines, type Target } from '../../bench/servers/target.ts';
import type { BerthServer } from '../support/berth-server.ts';

/** Clients that ask for one manifest by its tag with a token, each again as soon as it is answered. Source: L-03. */
export class ManifestReaders implements Disposable {
  readonly #head: string;
  readonly #connections: readonly Connection[];

  private constructor(head: string, connections: readonly Connection[]) {
    this.#head = head;
    this.#connections = connections;
  }

  /** Pushes what they read. */
  static async begin(server: BerthServer, clients: number): Promise<ManifestReaders> {
    const repository = 'bench/readers';
    const credentials = server.admin;
    const authorizationLines = [basicLine(credentials)];
    const origin = new URL(server.http);
    const target: Target = { name: 'berth', origin, credentials, authorizationLines, pid: () => server.pid };
    const client = new RegistryClient(target, new Recorder());
    await client.pushMonolith(repository, 'v1', new ImageSource().same(MiB));
    client.close();
    const lines = [...(await pullLines(target, repository)), `Accept: ${manifestType}`];
    const head = [`GET /v2/${repository}/manifests/v1 HTTP/1.1`, ...lines, ''].join('\r\n');
    return new ManifestReaders(
      head,
      Array.from({ length: clients }, () => new Connection(origin)),
    );
  }

  /** For so long; they keep their connections from one time to the next. Throws where a manifest is not served. */
  async read(ms: number): Promise<{ readonly count: number; readonly latency: Latency }> {
    const times: number[] = [];
    const endMs = performance.now() + ms;
    await together(this.#connections.length, async (client) => {
      const connection = this.#connections[client];
      for (let now = performance.now(); connection !== undefined && now < endMs; ) {
        const { status } = await connection.send({ head: this.#head });
        if (status !== 200) throw new Error(`a manifest is answered with ${status}`);
        const done = performance.now();
        times.push(done - now);
        now = done;
      }
    });
    return { count: times.length, latency: latencyOf(times) };
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }
}
