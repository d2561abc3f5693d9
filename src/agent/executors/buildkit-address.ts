import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { RunFailure, reasonOf } from '../run-failure.ts';

/** Where a BuildKit listens, and how the agent shows that it may speak to it. */
export type BuildKitAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** Without it the connection is plain, which is for this machine alone. */
      readonly tls: TlsFiles | undefined;
    };

/** Paths of PEM files, which are read for every connection: whoever renews them need not restart anything. */
export type TlsFiles = { readonly ca: string; readonly certificate: string; readonly key: string };

const connectTimeoutMs = 5_000;
/** gRPC's, as BuildKit wants it agreed on. Source: RFC 7301; RFC 9113, 3.2. */
const http2 = 'h2';

/**
 * Reads `unix:///path` or `tcp://host:port`. TLS goes with tcp alone. Throws TypeError saying what is wrong.
 * Source: buildctl's `--addr`.
 */
export function parseBuildKitAddress(text: string, tls: TlsFiles | undefined): BuildKitAddress {
  const url = URL.parse(text);
  if (url?.protocol === 'unix:' && url.host === '' && url.pathname.length > 1) {
    if (tls !== undefined) throw new TypeError(`${text}: TLS is for tcp://host:port, not for a socket of this machine`);
    return { kind: 'unix', path: decodeURIComponent(url.pathname) };
  }
  const isTcp = url?.protocol === 'tcp:' && url.hostname !== '' && url.port !== '' && /^\/?$/.test(url.pathname);
  if (!isTcp || url === null || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError(`${text} is not an address of BuildKit: unix:///path/of/socket or tcp://host:port`);
  }
  return { kind: 'tcp', host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port), tls };
}

/** As the operator wrote it. */
export function formatBuildKitAddress(address: BuildKitAddress): string {
  if (address.kind === 'unix') return `unix://${address.path}`;
  const { host, port } = address;
  return `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** An open connection, its certificate checked where there is TLS. Throws RunFailure with the address and what would mend it. */
export async function connectBuildKit(address: BuildKitAddress, signal?: AbortSignal): Promise<Socket> {
  const limit = AbortSignal.timeout(connectTimeoutMs);
  const limited = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  let socket: Socket | undefined;
  try {
    socket = await open(address);
    await once(socket, address.kind === 'tcp' && address.tls !== undefined ? 'secureConnect' : 'connect', {
      signal: limited,
    });
    return socket;
  } catch (cause) {
    socket?.destroy();
    signal?.throwIfAborted();
    throw unreachable(address, limit.aborted ? 'no answer within 5 s' : reasonOf(cause), cause);
  }
}

export function unreachable(address: BuildKitAddress, reason: string, cause?: unknown): RunFailure {
  const text = `BuildKit at ${formatBuildKitAddress(address)} cannot be reached (${reason}): start buildkitd there, or correct --buildkit and its TLS files where the agent runs`;
  return new RunFailure(text, { cause });
}

async function open(address: BuildKitAddress): Promise<Socket> {
  if (address.kind === 'unix') return connect({ path: address.path });
  const { host, port, tls } = address;
  if (tls === undefined) return connect({ host, port });
  const [ca, cert, key] = await Promise.all([tls.ca, tls.certificate, tls.key].map((path) => readFile(path)));
  if (ca === undefined || cert === undefined || key === undefined) throw new TypeError('TLS has three files');
  return connectTls({ host, port, ca, cert, key, ALPNProtocols: [http2] });
}
