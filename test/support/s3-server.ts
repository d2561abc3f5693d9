import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { freePort } from './free-port.ts';
import { goTool } from './go-tools.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

/** An S3 server of its own (versitygw on a folder), with one empty bucket. */
export type S3Server = AsyncDisposable & {
  readonly endpoint: string;
  readonly bucket: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** The setting `blobs` for this bucket. */
  readonly blobs: string;
  readonly pid: number;
};

const bucket = 'berth';
const credentials = { accessKeyId: 'berth', secretAccessKey: 'a-secret-of-the-tests' };

export async function startS3Server(): Promise<S3Server> {
  const folder = temporaryFolder('s3');
  const port = await freePort();
  const data = join(folder.path, 'data');
  mkdirSync(join(data, bucket), { recursive: true });
  const daemon = new Daemon({
    command: await goTool('versitygw'),
    args: ['--port', `127.0.0.1:${port}`, 'posix', '--sidecar', sidecar(folder.path), data],
    logFile: join(folder.path, 'log'),
    env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
  });
  const endpoint = `http://127.0.0.1:${port}`;
  await waitFor('the S3 server answers', 120_000, async () => {
    if (!daemon.running) throw new Error(daemon.log());
    return (await fetch(endpoint)).status > 0;
  });
  return {
    endpoint,
    bucket,
    credentials,
    blobs: `s3://${bucket}/store?endpoint=${endpoint}`,
    pid: daemon.pid,
    [Symbol.asyncDispose]: async () => {
      await daemon.stop(5_000);
      folder.remove();
    },
  };
}

/** Metadata in files beside the data, for file systems without extended attributes. */
function sidecar(folder: string): string {
  const path = join(folder, 'sidecar');
  mkdirSync(path);
  return path;
}
