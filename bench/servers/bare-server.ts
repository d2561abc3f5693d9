import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

// What no registry in Node that keeps its word can leave out, and nothing else: `bare-server.ts DATA PORT`. It hashes what arrives, writes
// it, syncs file, folder and a log of one line for each change before it answers 201, and sends files. No sign-in, no rights, no database, no
// checks of what is pushed or sent, no garbage collection, no recovery: how fast it is on a machine bounds how fast Berth can be there.

const [data = '', port = ''] = process.argv.slice(2);
const blobs = join(data, 'blobs');
mkdirSync(blobs, { recursive: true });
const folder = await open(blobs);
const log = await open(join(data, 'log'), 'a');

type Upload = { readonly path: string; readonly file: FileHandle; readonly hash: ReturnType<typeof createHash> };
type Stored = { readonly bytes: Buffer; readonly digest: string };

/** Sizes of stored blobs by digest. */
const sizes = new Map<string, number>();
const uploads = new Map<string, Upload>();
/** Manifests of each repository, by tag and by digest. */
const repositories = new Map<string, Map<string, Stored>>();

const waiting: string[] = [];
let writing: Promise<void> | undefined;

/** Many wait for one sync, as in a database that commits in groups. */
async function logged(line: string): Promise<void> {
  waiting.push(line);
  while (waiting.includes(line) || writing !== undefined) {
    if (writing !== undefined) {
      const isIn = !waiting.includes(line);
      await writing;
      if (isIn) return;
      continue;
    }
    const lines = waiting.splice(0);
    writing = log
      .appendFile(lines.join(''))
      .then(async () => await log.datasync())
      .finally(() => {
        writing = undefined;
      });
    await writing;
    return;
  }
}

async function receive(request: IncomingMessage, { file, hash }: Upload): Promise<void> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  const flush = async () => {
    const full = held;
    held = [];
    heldBytes = 0;
    if (full.length > 0) await file.writev(full);
  };
  for await (const chunk of request) {
    hash.update(chunk);
    held.push(chunk);
    heldBytes += chunk.length;
    if (heldBytes >= 1024 * 1024) await flush();
  }
  await flush();
}

async function begin(): Promise<string> {
  const id = randomUUID();
  const path = join(data, id);
  uploads.set(id, { path, file: await open(path, 'w'), hash: createHash('sha256') });
  return id;
}

async function finish(id: string, request: IncomingMessage, wanted: string): Promise<void> {
  const upload = uploads.get(id);
  if (upload === undefined) throw new Error(`no upload ${id}`);
  uploads.delete(id);
  if (sizes.has(wanted)) {
    // Bytes that are here already are hashed and not kept, as Berth does.
    for await (const chunk of request) upload.hash.update(chunk);
    await upload.file.close();
    await rm(upload.path);
  } else {
    await receive(request, upload);
    await upload.file.sync();
    const { size } = await upload.file.stat();
    await upload.file.close();
    await rename(upload.path, join(blobs, wanted));
    await folder.sync();
    sizes.set(wanted, size);
  }
  if (`sha256:${upload.hash.digest('hex')}` !== wanted) throw new Error(`not ${wanted}`);
  await logged(`${id} ${wanted}\n`);
}

async function putManifest(request: IncomingMessage, repository: string, reference: string): Promise<string> {
  const bytes = Buffer.concat(await request.toArray());
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const known = repositories.get(repository) ?? new Map<string, Stored>();
  repositories.set(repository, known);
  for (const name of [reference, digest]) known.set(name, { bytes, digest });
  await logged(`${randomUUID()} ${repository} ${reference} ${bytes.toString('base64')}\n`);
  return digest;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '' } = request;
  const url = new URL(request.url ?? '', 'http://bare');
  const end = (status: number, headers: Record<string, string | number> = {}, body?: Buffer | string) =>
    response.writeHead(status, headers).end(method === 'HEAD' ? undefined : body);
  const [, repository = '', kind = '', reference = ''] =
    /^\/v2\/(.+)\/(blobs\/uploads|blobs|manifests|tags)\/([^/]*)$/.exec(url.pathname) ?? [];
  const known = repositories.get(repository);
  switch (`${method} ${kind}`) {
    case 'POST blobs/uploads':
      return void end(202, { Location: `/v2/${repository}/blobs/uploads/${await begin()}`, 'Content-Length': 0 });
    case 'PATCH blobs/uploads': {
      const upload = uploads.get(reference);
      if (upload === undefined) return void end(404);
      await receive(request, upload);
      return void end(202, { Location: url.pathname, 'Content-Length': 0 });
    }
    case 'PUT blobs/uploads':
      await finish(reference, request, url.searchParams.get('digest') ?? '');
      return void end(201, { 'Content-Length': 0 });
    case 'PUT manifests':
      return void end(201, { 'Docker-Content-Digest': await putManifest(request, repository, reference) });
    case 'HEAD manifests':
    case 'GET manifests': {
      const stored = known?.get(reference);
      if (stored === undefined) return void end(404);
      const { bytes, digest } = stored;
      return void end(200, { 'Docker-Content-Digest': digest, 'Content-Length': bytes.length }, bytes);
    }
    case 'HEAD blobs':
    case 'GET blobs': {
      const size = sizes.get(reference);
      if (size === undefined) return void end(404);
      if (method === 'HEAD') return void end(200, { 'Content-Length': size });
      response.writeHead(200, { 'Content-Length': size });
      return await pipeline(createReadStream(join(blobs, reference), { highWaterMark: 256 * 1024 }), response);
    }
    case 'GET tags': {
      const tags = [...(known?.keys() ?? [])].filter((name) => !name.includes(':'));
      return void end(200, {}, JSON.stringify({ name: repository, tags }));
    }
    case 'DELETE manifests':
      for (const [name, { digest }] of known ?? []) if (digest === reference) known?.delete(name);
      await logged(`${randomUUID()} ${repository} ${reference}\n`);
      return void end(202);
    case 'DELETE blobs':
      // The file stays: others may need it, and collecting it is no part of the answer.
      await logged(`${randomUUID()} ${repository} ${reference}\n`);
      return void end(202);
    default:
      return void end(200, {}, '{"repositories":[]}');
  }
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    process.stderr.write(`${request.method} ${request.url}: ${error}\n`);
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end(String(error));
  });
});
server.listen(Number(port), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
