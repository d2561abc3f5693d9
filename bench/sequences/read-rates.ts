import { Connection, type WireRequest } from '../http/connection.ts';
import { MiB, manifestType } from '../images.ts';
import { Recorder } from '../recorder.ts';
import { RegistryClient } from '../registry-client.ts';
import { type Scenario, type SequenceRun, together } from '../sequence.ts';
import { pullLines, type Target, tokenSourceOf } from '../servers/target.ts';

export type RateOptions = { readonly clients: number; readonly seconds: number };

const names = {
  manifestGet: 'Manifest GET by tag',
  manifestHead: 'Manifest HEAD by tag',
  blobHead: 'Blob HEAD',
  tokenIssue: 'Token issue',
} as const;

/** How often one small request is answered: keep-alive connections, bearer token where the registry gives one. */
export function readRates(options: RateOptions): Scenario {
  return {
    sequences: Object.values(names).map((name) => ({ name, clients: options.clients, warmsUp: true })),
    prepare: async (target, images) => {
      const repository = 'bench/rates';
      const image = images.same(MiB);
      const client = new RegistryClient(target, new Recorder());
      await client.pushMonolith(repository, 'v1', image);
      client.close();
      const lines = [...(await pullLines(target, repository)), `Accept: ${manifestType}`];
      const rate = (method: string, path: string) => rateRun(target, options, { head: headOf(method, path, lines) });
      return new Map([
        [names.manifestGet, rate('GET', `/v2/${repository}/manifests/v1`)],
        [names.manifestHead, rate('HEAD', `/v2/${repository}/manifests/v1`)],
        [names.blobHead, rate('HEAD', `/v2/${repository}/blobs/${image.layer.digest}`)],
        ...(await tokenRuns(target, options, repository)),
      ]);
    },
  };
}

async function tokenRuns(target: Target, options: RateOptions, repository: string): Promise<[string, SequenceRun][]> {
  const source = await tokenSourceOf(target, repository);
  if (source === undefined) return [];
  const head = headOf('GET', source.url.pathname + source.url.search, [source.authorizationLine]);
  return [[names.tokenIssue, rateRun({ ...target, origin: new URL(source.url.origin) }, options, { head })]];
}

function headOf(method: string, path: string, lines: readonly string[]): string {
  return [`${method} ${path} HTTP/1.1`, ...lines, ''].join('\r\n');
}

/** Each client sends the same request again as soon as it is answered, until the time is over. */
function rateRun(target: Target, options: RateOptions, request: WireRequest): SequenceRun {
  return async (recorder, share) => {
    const end = performance.now() + options.seconds * 1000 * share;
    await together(options.clients, async () => {
      const connection = new Connection(target.origin);
      while (performance.now() < end) await recorder.sequence(async () => await expect200(connection, request));
      connection.close();
    });
  };
}

async function expect200(connection: Connection, request: WireRequest): Promise<void> {
  const answer = await connection.send(request);
  if (answer.status !== 200) throw new Error(`status ${answer.status}, expected 200`);
}
