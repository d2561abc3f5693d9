import type { Server } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import type { Log } from '../log.ts';
import {
  type CertificateAuthority,
  type Leaf,
  type LeafNames,
  openCertificateAuthority,
} from './certificate-authority.ts';
import { type OwnCertificateFiles, OwnCertificates } from './own-certificates.ts';

const refreshMs = 30_000;
const renewBeforeMicros = 30 * 24 * 3_600_000_000;
/** Names kept at once; others are issued again when they come back. */
const maxCached = 1000;

/** Names for which clients send no server name, or need no name resolution. */
const localNames = { dns: ['localhost'], ip: ['127.0.0.1', '::1'] } as const;

export type CertificatesParts = {
  /** Keeps `ca.pem` and `ca-key.pem`. */
  readonly folder: string;
  readonly own: readonly OwnCertificateFiles[];
  /** Whether this installation answers a server name (lower-case, without a port). No other name gets a certificate. */
  readonly isOurName: (name: string) => boolean | Promise<boolean>;
  /** Addresses, beside 127.0.0.1 and ::1, that clients use without a name. */
  readonly addresses?: readonly string[];
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
};

/**
 * The certificates of this installation's servers: the operator's own win by server name; a private authority issues one for
 * each other name at its first use and renews it (runtime contract, "TLS names").
 */
export type Certificates = {
  /** The authority's certificate, for clients to trust. */
  readonly caPath: string;
  readonly caPem: string;
  /**
   * What a connection is answered with. Without a server name, for `localhost`, and for a name that is not ours: a certificate
   * for the local names, so that a client which asks for a foreign name reads why it is refused.
   */
  readonly secureContext: (serverName: string | undefined) => Promise<SecureContext>;
  /** For `https.createServer`. */
  readonly sniCallback: (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;
  /** Gives a server its certificate for connections without a server name, now and at each renewal. */
  readonly serve: (server: Server) => Promise<void>;
  /** Looks for changed files and certificates near their end; also runs by itself every 30 seconds until `close`. */
  readonly refresh: () => Promise<void>;
  readonly close: () => void;
};

export async function createCertificates(parts: CertificatesParts): Promise<Certificates> {
  const authority = await openCertificateAuthority(parts);
  const own = await OwnCertificates.open(parts.own, parts.log);
  const issued = new IssuedCertificates(authority, parts.clock);
  const local: LeafNames = { dns: localNames.dns, ip: [...localNames.ip, ...(parts.addresses ?? [])] };
  const servers = new Map<Server, Leaf>();
  const stop = new AbortController();

  const secureContext = async (serverName: string | undefined): Promise<SecureContext> => {
    const name = serverName?.toLowerCase().replace(/\.$/, '') ?? '';
    const found = own.find(name);
    if (found !== undefined) return found;
    const isLocal = local.dns.includes(name) || !(await parts.isOurName(name));
    const { context } = await issued.get(isLocal ? local : { dns: [name], ip: [] });
    return context;
  };
  const serve = async (server: Server): Promise<void> => {
    const { leaf } = await issued.get(local);
    if (servers.get(server) === leaf) return;
    server.setSecureContext({ cert: leaf.certPem, key: leaf.keyPem });
    servers.set(server, leaf);
  };
  const refresh = async (): Promise<void> => {
    await own.refresh();
    for (const server of servers.keys()) await serve(server);
  };

  repeat(parts, stop.signal, refresh);
  return {
    caPath: authority.path,
    caPem: authority.certPem,
    secureContext,
    sniCallback: (name, done) => {
      secureContext(name).then(
        (context) => done(null, context),
        (cause: unknown) => done(new Error('no certificate for the server name', { cause })),
      );
    },
    serve,
    refresh,
    close: () => stop.abort(),
  };
}

/** Runs until the signal; a fault is logged, and the next round tries again. */
async function repeat(
  { clock, log }: CertificatesParts,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(refreshMs, signal);
      await work();
    } catch (error) {
      if (!signal.aborted) log.error('certificates not refreshed', { error });
    }
  }
}

type Issued = { readonly leaf: Leaf; readonly context: SecureContext };

/** What the authority issued, kept until shortly before its end; the name unused for longest goes first. */
class IssuedCertificates {
  readonly #authority: CertificateAuthority;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Promise<Issued>>();

  constructor(authority: CertificateAuthority, clock: Clock) {
    this.#authority = authority;
    this.#clock = clock;
  }

  async get(names: LeafNames): Promise<Issued> {
    const key = [...names.dns, ...names.ip].join(' ');
    const kept = this.#kept.get(key);
    if (kept === undefined) return this.#keep(key, this.#issue(names));
    const { leaf } = await kept;
    if (leaf.expiresMicros - this.#clock.nowMicros() > renewBeforeMicros) return this.#keep(key, kept);
    const current = this.#kept.get(key);
    // Of several that find it old at once, the first renews and the others wait for the same one.
    return current === undefined || current === kept ? this.#keep(key, this.#issue(names)) : current;
  }

  /** Puts an entry last, drops the first when there are too many, and forgets one that fails. */
  #keep(key: string, entry: Promise<Issued>): Promise<Issued> {
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > maxCached && oldest !== undefined) this.#kept.delete(oldest);
    entry.catch(() => this.#kept.delete(key));
    return entry;
  }

  async #issue(names: LeafNames): Promise<Issued> {
    const leaf = await this.#authority.issue(names);
    return { leaf, context: createSecureContext({ cert: leaf.certPem, key: leaf.keyPem }) };
  }
}
