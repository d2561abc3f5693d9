import { join } from 'node:path';
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { Daemon } from './daemon.ts';
import { freePort } from './free-port.ts';
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
};

/** The account that Azurite always has. Source: https://learn.microsoft.com/azure/storage/common/storage-use-azurite */
const account = 'devstoreaccount1';
const accountKey = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const container = 'berth';

export async function startAzureServer(): Promise<AzureServer> {
  const folder = temporaryFolder('azure');
  const port = await freePort();
  const program = join(import.meta.dirname, '../../node_modules/azurite/dist/src/blob/main.js');
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
    ],
    logFile: join(folder.path, 'log'),
  });
  const endpoint = `http://127.0.0.1:${port}/${account}`;
  const credential = new StorageSharedKeyCredential(account, accountKey);
  const client = new ContainerClient(`${endpoint}/${container}`, credential, { retryOptions: { maxTries: 1 } });
  await waitFor('Azurite has a container', 20_000, async () => {
    if (!daemon.running) throw new Error(daemon.log());
    await client.createIfNotExists();
    return true;
  });
  return {
    endpoint,
    account,
    accountKey,
    container,
    blobs: `azure://${account}/${container}/store?endpoint=${endpoint}`,
    [Symbol.asyncDispose]: async () => {
      await daemon.stop(5_000);
      folder.remove();
    },
  };
}
