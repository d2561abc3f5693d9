import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { extract, type Header, type Pack, pack } from 'tar-stream';
import { RunFailure } from '../run-failure.ts';
import { begins, headOf } from './first-bytes.ts';

export type ArchiveLimits = { readonly maxEntries: number; readonly maxBytes: number };

const maxNameLength = 4_096;
const executableMode = 0o777;
const kinds = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'link',
} as const;

/**
 * Reads archives (tar, also with gzip or zstd, by their first bytes), which are unpacked over each other, and passes on what is
 * harmless, as one tar. Everything else ends it with RunFailure: names that are absolute or leave their folder, links that lead
 * out, files below links, devices, and more entries or bytes than the limits. Rights are cut to those of a file: no setuid.
 * Security rule 21.
 */
export function safeArchive(
  archives: AsyncIterable<AsyncIterable<Uint8Array>>,
  limits: ArchiveLimits,
): AsyncIterable<Uint8Array> {
  const output = pack();
  const check = new ArchiveCheck(limits);
  const copy = async () => {
    for await (const archive of archives) await copyOf(archive, check, output);
    check.end();
    output.finalize();
  };
  output.on('error', ignore);
  copy().catch((cause: unknown) => output.destroy(unreadable(cause)));
  return bytesOf(output);
}

async function copyOf(archive: AsyncIterable<Uint8Array>, check: ArchiveCheck, output: Pack): Promise<void> {
  const input = extract();
  const plain = await decompressed(archive);
  feed(plain, input).catch((cause: unknown) => input.destroy(errorOf(cause)));
  for await (const entry of input) {
    const header = check.entry(entry.header);
    const sink = header === undefined ? undefined : output.entry(header);
    sink?.on('error', ignore);
    if (header?.type === 'file') await feed(entry, sink);
    else {
      sink?.end(undefined);
      entry.resume();
    }
  }
}

/** An archive with one file. */
export function archiveOfFile(
  name: string,
  sizeBytes: number,
  source: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const output = pack();
  const entry = output.entry({ name, size: sizeBytes, mode: 0o644 });
  entry.on('error', ignore);
  output.on('error', ignore);
  const copy = async () => {
    await feed(source, entry);
    output.finalize();
  };
  copy().catch((cause: unknown) => output.destroy(errorOf(cause)));
  return bytesOf(output);
}

/** Whoever reads the output is told; nobody else needs to be. */
function ignore(): void {}

/** What streams of tar-stream share with those of Node. */
type Sink = {
  readonly write: (chunk: Uint8Array) => boolean;
  readonly end: (last: undefined) => unknown;
  readonly on: (event: 'drain' | 'close', done: () => void) => unknown;
  readonly off: (event: 'drain' | 'close', done: () => void) => unknown;
};

async function feed(source: AsyncIterable<unknown>, sink: Sink | undefined): Promise<void> {
  for await (const chunk of bytesOf(source)) {
    if (sink === undefined || sink.write(chunk)) continue;
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const event of ['drain', 'close'] as const) sink.on(event, resolve);
    await promise;
    for (const event of ['drain', 'close'] as const) sink.off(event, resolve);
  }
  sink?.end(undefined);
}

/** What an archive is made of as a stream tells it: each piece that is bytes. */
export async function* bytesOf(source: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) if (chunk instanceof Uint8Array) yield chunk;
}

function errorOf(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}

function unreadable(cause: unknown): Error {
  if (cause instanceof RunFailure) return cause;
  return new RunFailure(`the context is not an archive that can be read: ${errorOf(cause).message}`, { cause });
}

async function decompressed(source: AsyncIterable<Uint8Array>): Promise<Readable> {
  const { head, whole } = await headOf(source);
  const bytes = Readable.from(whole, { objectMode: false });
  if (begins(head, 0x1f, 0x8b)) return piped(bytes, createGunzip());
  if (begins(head, 0x28, 0xb5, 0x2f, 0xfd)) return piped(bytes, createZstdDecompress());
  return bytes;
}

function piped(source: Readable, target: ReturnType<typeof createGunzip | typeof createZstdDecompress>): Readable {
  source.on('error', (cause) => target.destroy(cause));
  return source.pipe(target);
}

type SafeHeader = Pick<Header, 'name' | 'mode' | 'uid' | 'gid' | 'mtime' | 'type' | 'size'> & {
  readonly linkname?: string;
};

/** What the archives of one context may hold, and where links of theirs are. */
class ArchiveCheck {
  readonly #limits: ArchiveLimits;
  readonly #links = new Set<string>();
  #entries = 0;
  #bytes = 0;

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  /** The entry as it may be unpacked; undefined for one that says nothing. */
  entry(header: Header): SafeHeader | undefined {
    this.#count(header);
    const name = this.#nameOf(header.name);
    const type = header.type === undefined || header.type === null ? 'file' : header.type;
    const kind = type in kinds ? kindOf(type) : undefined;
    if (kind === undefined)
      throw new RunFailure(`the context holds ${name}, which is a ${type}: only files, folders and links`);
    if (name === '') return undefined;
    const mode = header.mode & executableMode;
    const plain = { name, mode, uid: 0, gid: 0, mtime: header.mtime };
    if (kind === 'directory') return { ...plain, type: kind, size: 0, mode: mode | 0o700 };
    if (kind === 'file') return { ...plain, type: kind, size: header.size };
    return { ...plain, type: kind, size: 0, linkname: this.#linkOf(kind, name, header.linkname) };
  }

  end(): void {
    if (this.#entries === 0) throw new RunFailure('the context holds no files: is it an archive?');
  }

  #count({ size }: Header): void {
    this.#entries += 1;
    this.#bytes += size;
    if (this.#entries > this.#limits.maxEntries) {
      throw new RunFailure(`the context holds more than ${this.#limits.maxEntries} files`);
    }
    if (this.#bytes > this.#limits.maxBytes) {
      throw new RunFailure(`the context is larger than the run's disk: ${this.#limits.maxBytes} bytes`);
    }
  }

  #nameOf(written: string): string {
    const parts = partsOf(written);
    // az names the folder itself so.
    if (parts.length === 0) return '';
    if (written.startsWith('/') || parts.includes('..') || written.includes('\0') || written.length > maxNameLength) {
      throw new RunFailure(`the context holds a file whose name leaves it: ${JSON.stringify(written.slice(0, 200))}`);
    }
    const parents = parts.slice(0, -1).map((_, at) => parts.slice(0, at + 1).join('/'));
    const link = parents.find((parent) => this.#links.has(parent));
    if (link !== undefined) throw new RunFailure(`the context holds ${parts.join('/')} below ${link}, which is a link`);
    return parts.join('/');
  }

  #linkOf(kind: 'symlink' | 'link', name: string, target: string): string {
    const isInside =
      kind === 'link' ? !this.#links.has(partsOf(target).join('/')) : leadsInside(partsOf(name).length - 1, target);
    if (!isInside || target === '' || target.startsWith('/') || target.includes('\0')) {
      throw new RunFailure(
        `the context holds the link ${name}, which leads out of it: ${JSON.stringify(target.slice(0, 200))}`,
      );
    }
    if (kind === 'symlink') {
      this.#links.add(name);
      return target;
    }
    return this.#nameOf(target);
  }
}

function kindOf(type: string): (typeof kinds)[keyof typeof kinds] | undefined {
  return Object.entries(kinds).find(([name]) => name === type)?.[1];
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}

/** `..` stands first alone: behind a name that is a link it would lead elsewhere than it reads. */
function leadsInside(depth: number, target: string): boolean {
  const parts = partsOf(target);
  const firstName = parts.findIndex((part) => part !== '..');
  const ups = firstName < 0 ? parts.length : firstName;
  return ups <= depth && !parts.slice(ups).includes('..');
}
