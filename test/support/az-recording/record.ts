import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newestAz, newestAzVersion } from '../az-newest.ts';
import { type BerthServer, startBerth } from '../berth-server.ts';
import { run, tryRun } from '../run.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { files, type Line, lines } from './commands.ts';
import { type Exchange, exchangeSchema, type RecordedCommand, type Recording } from './exchange.ts';
import { type ExchangeRecorder, startRecorder } from './exchange-recorder.ts';
import { answerWithNames, requestWithNames, type Values } from './placeholders.ts';
import { recordedSettings, valuesOf } from './replay.ts';

/**
 * Writes down what `az` and a server say to each other, for test/end-to-end/az-recorded.test.ts:
 * `node test/support/az-recording/record.ts`, with Debian's 2.45 as `az`; the newer version is installed as for its tests.
 * Look at the difference before it is committed: it is what people who use that version will notice.
 */
async function record(version: string, path: string): Promise<void> {
  using folder = disposable();
  await using server = await startBerth({ settings: { ...recordedSettings, 'trusted-proxies': '127.0.0.1/32' } });
  const recorder = await startRecorder(folder.path, server.http);
  try {
    const az = new Az(version, path, { server, recorder, folder: folder.path });
    await az.prepare();
    const commands: RecordedCommand[] = [];
    for (const line of lines) {
      if (line.only === undefined || line.only === version) commands.push(await az.record(line));
    }
    const recording: Recording = { version, commands };
    writeFileSync(join(import.meta.dirname, `az-${version}.json`), `${JSON.stringify(recording, undefined, 2)}\n`);
  } finally {
    recorder.close();
  }
}

type Place = { readonly server: BerthServer; readonly recorder: ExchangeRecorder; readonly folder: string };

class Az {
  readonly #version: string;
  readonly #place: Place;
  readonly #values: Values;
  readonly #env: Record<string, string>;

  constructor(version: string, path: string, place: Place) {
    const { server, recorder, folder } = place;
    const { owner, tenantId, subscriptionId } = server.bootstrap;
    this.#version = version;
    this.#place = place;
    this.#values = valuesOf(server, recorder.origin);
    this.#env = {
      PATH: `${path}:${process.env.PATH}`,
      AZURE_CONFIG_DIR: join(folder, 'az'),
      AZURE_CORE_COLLECT_TELEMETRY: 'no',
      AZURE_CORE_NO_COLOR: 'true',
      REQUESTS_CA_BUNDLE: recorder.caPath,
      ORIGIN: recorder.origin,
      TENANT: tenantId,
      SUBSCRIPTION: subscriptionId,
      CLIENT: owner.clientId,
      SECRET: owner.clientSecret,
      USERNAME: owner.userName,
      PASSWORD: owner.password,
    };
  }

  async prepare(): Promise<void> {
    const { folder, recorder, server } = this.#place;
    mkdirSync(join(folder, 'az'), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const { origin } = recorder;
    const suffix = server.bootstrap.registry.loginServer.replace(/^local/, '');
    const config = {
      endpoints: {
        resourceManager: origin,
        management: origin,
        activeDirectory: `${origin}/adfs`,
        activeDirectoryResourceId: origin,
        activeDirectoryGraphResourceId: `${origin}/graph`,
        microsoftGraphResourceId: `${origin}/graph`,
      },
      suffixes: { acrLoginServerEndpoint: suffix, storageEndpoint: suffix.slice(1), keyvaultDns: '.vault.test' },
    };
    writeFileSync(join(folder, 'cloud.json'), JSON.stringify(config));
    await this.#type({ type: 'az cloud register -n Berth --cloud-config @cloud.json && az cloud set -n Berth' });
    recorder.take();
  }

  async record(line: Line): Promise<RecordedCommand> {
    const printed = await this.#type(line);
    const exchanges = withoutRepeats(this.#place.recorder.take()).map((each) => this.#named(each));
    console.log(`${this.#version}: ${line.type}: ${exchanges.length} exchanges`);
    const json = line.fails === true || line.printsOwn === true ? undefined : jsonOf(printed);
    const shown =
      json === undefined ? {} : { printed: JSON.parse(answerWithNames(JSON.stringify(json), this.#values)) };
    return { command: line.type, ...shown, exchanges };
  }

  async #type({ type, fails }: Line): Promise<string> {
    const { folder } = this.#place;
    const { code, output, stdout } = await tryRun('sh', ['-euc', type], { env: this.#env, cwd: folder });
    if ((code !== 0) !== (fails === true)) throw new Error(`${type}: exit code ${code}\n${output}`);
    return stdout;
  }

  #named({ request, answer }: Exchange): Exchange {
    return exchangeSchema.parse({
      request: JSON.parse(requestWithNames(JSON.stringify(request), this.#values)),
      answer: JSON.parse(answerWithNames(JSON.stringify(answer), this.#values)),
    });
  }
}

/** Of a request sent again and again while something is under way, the last. */
function withoutRepeats(exchanges: readonly Exchange[]): Exchange[] {
  const key = ({ request }: Exchange) => `${request.method} ${request.path}`;
  return exchanges.filter((each, index) => {
    const next = exchanges[index + 1];
    return next === undefined || each.request.method !== 'GET' || key(each) !== key(next);
  });
}

/** Undefined for what is no object or list: `true` of `az group exists`, nothing after a deletion. */
function jsonOf(text: string): object | undefined {
  const value: unknown = /^[[{]/.test(text) ? JSON.parse(text) : undefined;
  return typeof value === 'object' && value !== null ? value : undefined;
}

function disposable() {
  const folder = temporaryFolder('az-recording');
  return { path: folder.path, [Symbol.dispose]: () => folder.remove() };
}

await record('2.45.0', '/usr/bin');
await record(newestAzVersion, await newestAz());
// As `biome ci` wants to find them.
await run('npx', ['biome', 'format', '--write', import.meta.dirname]);
