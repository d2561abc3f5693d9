import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { Daemon } from './daemon.ts';
import { freePort } from './free-port.ts';
import { run } from './run.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

/** Azurite with one empty container. */
export type AzureServer = AsyncDisposable & {
  readonly endpoint: string;
  readonly account: string;
  readonly accountKey: string;
  readonly container: string;
  /** The setting `blobs` for this container. */
  readonly blobs: string;
  /** Its certificate, where it serves HTTPS. */
  readonly caPath: string | undefined;
};

/** The account that Azurite always has. Source: https://learn.microsoft.com/azure/storage/common/storage-use-azurite */
const account = 'devstoreaccount1';
const accountKey = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const container = 'berth';

/** With `isHttps` it takes tokens of an identity too: it looks at what they say, not at their signature. */
export async function startAzureServer({ isHttps = false } = {}): Promise<AzureServer> {
  const folder = temporaryFolder('azure');
  const port = await freePort();
  const program = join(import.meta.dirname, '../../node_modules/azurite/dist/src/blob/main.js');
  const caPath = isHttps ? await certificateIn(folder.path) : undefined;
  const daemon = new Daemon({
    command: process.execPath,
    args: [
      program,
      '--blobPort',
      String(port),
      '--location',
      folder.path,
      '--silent',
      '--disableTelemetry',
      '--skipApiVersionCheck',
      ...(caPath === undefined ? [] : ['--oauth', 'basic', '--cert', caPath, '--key', join(folder.path, 'key.pem')]),
    ],
    logFile: join(folder.path, 'log'),
  });
  const endpoint = `${isHttps ? 'https' : 'http'}://127.0.0.1:${port}/${account}`;
  const credential = new StorageSharedKeyCredential(account, accountKey);
  const client = new ContainerClient(`${endpoint}/${container}`, credential, {
    retryOptions: { maxTries: 1 },
    ...(caPath !== undefined && { tlsOptions: { ca: readFileSync(caPath) } }),
  });
  await waitFor('Azurite has a container', 120_000, async () => {
    if (!daemon.running) throw new Error(daemon.log());
    await client.createIfNotExists();
    return true;
  });
  return {
    endpoint,
    account,
    accountKey,
    container,
    caPath,
    blobs: `azure://${account}/${container}/store?endpoint=${endpoint}`,
    [Symbol.asyncDispose]: async () => {
      await daemon.stop(5_000);
      folder.remove();
    },
  };
}

/** For 127.0.0.1, signed by itself; its key is beside it. */
async function certificateIn(folder: string): Promise<string> {
  const path = join(folder, 'certificate.pem');
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...[
      '-subj',
      '/CN=azurite',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      join(folder, 'key.pem'),
      '-out',
      path,
    ],
  ]);
  return path;
}
