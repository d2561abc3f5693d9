import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Log } from '../log.ts';

/** PEM files: the certificate with those behind it, and its key without a passphrase. */
export type OwnCertificateFiles = { readonly certPath: string; readonly keyPath: string };

type Loaded = {
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
  /** Changes whenever one of the files does. */
  readonly stamp: string;
};

/** Certificates that the operator brings; reread when their files change, in the order they were given. */
export class OwnCertificates {
  readonly #files: readonly OwnCertificateFiles[];
  readonly #log: Log;
  #loaded: readonly Loaded[];

  private constructor(files: readonly OwnCertificateFiles[], log: Log, loaded: readonly Loaded[]) {
    this.#files = files;
    this.#log = log;
    this.#loaded = loaded;
  }

  /** Throws when a file cannot be read, or certificate and key do not belong together: a server does not start with these. */
  static async open(files: readonly OwnCertificateFiles[], log: Log): Promise<OwnCertificates> {
    return new OwnCertificates(files, log, await Promise.all(files.map(load)));
  }

  /** The first certificate for a server name; a wildcard stands for one label. */
  find(serverName: string): SecureContext | undefined {
    const matches = ({ certificate }: Loaded) =>
      certificate.checkHost(serverName, { subject: 'never', partialWildcards: false }) !== undefined;
    return this.#loaded.find(matches)?.context;
  }

  /** Takes up changed files. A pair that is half replaced or broken is left as it was, and looked at again next time. */
  async refresh(): Promise<void> {
    this.#loaded = await Promise.all(this.#loaded.map((old, index) => this.#refreshed(old, this.#files[index])));
  }

  async #refreshed(old: Loaded, files: OwnCertificateFiles | undefined): Promise<Loaded> {
    if (files === undefined) return old;
    try {
      if ((await stampOf(files)) === old.stamp) return old;
      const fresh = await load(files);
      this.#log.info('certificate replaced', { expires: fresh.certificate.validTo });
      return fresh;
    } catch (error) {
      this.#log.warn('changed certificate not usable, the one before stays', { error });
      return old;
    }
  }
}

/** The stamp is taken first: files that change while they are read count as changed next time. */
async function load(files: OwnCertificateFiles): Promise<Loaded> {
  const stamp = await stampOf(files);
  const [cert, key] = await Promise.all([readFile(files.certPath), readFile(files.keyPath)]);
  return { certificate: new X509Certificate(cert), context: createSecureContext({ cert, key }), stamp };
}

async function stampOf({ certPath, keyPath }: OwnCertificateFiles): Promise<string> {
  const found = await Promise.all([certPath, keyPath].map((path) => stat(path, { bigint: true })));
  return found.map(({ ino, size, mtimeNs }) => `${ino}.${size}.${mtimeNs}`).join(' ');
}
