import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2Stream,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { FrontendValue } from './buildkit-words.ts';
import type { Cell } from './cell.ts';

export type BuildKitDoor = {
  /** Inside the cell, as buildctl takes it. */
  readonly address: string;
  /** Ends what is under way through it, in BuildKit too. */
  readonly close: () => void;
};

export type DoorParts = {
  readonly cell: Cell;
  readonly port: number;
  /** To BuildKit, open; the door closes it. */
  readonly upstream: Socket;
  readonly values: readonly FrontendValue[];
};

/** Field of what the frontend is given, in each request that has it. Source: control.proto and gateway.proto of BuildKit. */
const solves: ReadonlyMap<string, SolveFields> = new Map([
  ['/moby.buildkit.v1.Control/Solve', { attributes: 7, hidesFromHistory: 11 }],
  ['/moby.buildkit.v1.frontend.LLBBridge/Solve', { attributes: 3 }],
]);
/** What one build needs beside it. Others see, and end, what is not this run's. */
const passed = new Set([
  ...['Status', 'Session', 'ListWorkers', 'Info'].map((name) => `/moby.buildkit.v1.Control/${name}`),
  ...['Ping', 'Return', 'Warn'].map((name) => `/moby.buildkit.v1.frontend.LLBBridge/${name}`),
]);
const maxRequestBytes = 16 * 1024 * 1024;
const windowBytes = 1024 * 1024;
const frameHeadBytes = 5;
const [lengthDelimited, varint] = [2, 0];
/** Source: gRPC over HTTP2, status codes. */
const [resourceExhausted, unimplemented] = ['8', '12'];

/**
 * Lets one build in a cell speak to BuildKit, which the cell does not reach: the programs of its own network alone, not those
 * of its containers, and with no more than a build needs. What the frontend is given is added here, where no list of
 * processes shows it; and BuildKit keeps no history of the build, in which it would stand.
 */
export async function openBuildKitDoor({ cell, port, upstream, values }: DoorParts): Promise<BuildKitDoor> {
  const buildKit = connect('http://buildkit', {
    createConnection: () => upstream,
    settings: { initialWindowSize: windowBytes },
  });
  const server = createServer({ settings: { initialWindowSize: windowBytes } });
  server.on('stream', (stream, _headers, _flags, raw) => {
    if (isOfServer(stream)) void forward(buildKit, values, stream, headersOf(raw));
  });
  server.on('sessionError', () => {
    // The build has ended, or what came in is no gRPC; either way the connection is gone.
  });
  buildKit.on('error', () => {
    // Each stream tells its build.
  });
  const open = new Set<Socket>();
  const answer = (connection: Socket) => {
    connection.on('error', () => connection.destroy());
    if (connection.remoteAddress !== '127.0.0.1') {
      connection.destroy();
      return;
    }
    open.add(connection);
    connection.once('close', () => open.delete(connection));
    server.emit('connection', connection);
  };
  const door = await cell.listen(port, answer).catch((cause: unknown) => {
    buildKit.destroy();
    throw cause;
  });
  return {
    address: `tcp://127.0.0.1:${port}`,
    close: () => {
      door.close();
      for (const connection of open) connection.destroy();
      buildKit.destroy();
    },
  };
}

/** A server has no other; the types of its events know less. */
function isOfServer(stream: Http2Stream): stream is ServerHttp2Stream {
  return 'respond' in stream;
}

async function forward(
  buildKit: ClientHttp2Session,
  values: readonly FrontendValue[],
  stream: ServerHttp2Stream,
  headers: Headers,
): Promise<void> {
  stream.on('error', () => stream.destroy());
  const path = String(headers[':path']);
  const fields = solves.get(path);
  if (fields === undefined && !passed.has(path)) return refuse(stream, unimplemented, `${path} is not for builds`);
  if (buildKit.destroyed || buildKit.closed) return stream.close(constants.NGHTTP2_CANCEL);
  const request = buildKit.request(headers, { endStream: false });
  answerWith(request, stream);
  stream.on('close', () => request.close(constants.NGHTTP2_CANCEL));
  if (fields === undefined) {
    stream.pipe(request);
    return;
  }
  const body = await bodyOf(stream);
  if (body !== undefined) request.end(withValues(body, fields, values));
  else {
    refuse(stream, resourceExhausted, 'the build is described by too much');
    request.close(constants.NGHTTP2_CANCEL);
  }
}

function answerWith(request: ReturnType<ClientHttp2Session['request']>, stream: ServerHttp2Stream): void {
  let trailers: Headers = {};
  request.on('response', (_answer, flags, raw) => {
    if (stream.destroyed) return;
    const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    stream.respond(headersOf(raw), isAll ? { endStream: true } : { waitForTrailers: true });
  });
  request.on('trailers', (_trailers, _flags, raw) => {
    trailers = headersOf(raw);
  });
  request.on('error', () => stream.close(constants.NGHTTP2_CANCEL));
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  request.pipe(stream);
}

type Headers = Record<string, string | string[]>;

/** As they came: gRPC has several of one name, which are not one with commas. Those of the protocol itself are single. */
function headersOf(raw: readonly string[]): Headers {
  const headers: Headers = Object.create(null);
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = raw.slice(at, at + 2);
    const known = headers[name];
    headers[name] = known === undefined ? value : [known, value].flat();
  }
  return headers;
}

function refuse(stream: ServerHttp2Stream, status: string, message: string): void {
  const answer = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': message };
  stream.respond(answer, { endStream: true });
}

/** Undefined when it is too long, or the stream ended before it did. */
async function bodyOf(stream: ServerHttp2Stream): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      size += chunk.length;
      if (size > maxRequestBytes) return undefined;
      chunks.push(chunk);
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks);
}

type SolveFields = { readonly attributes: number; readonly hidesFromHistory?: number };

/**
 * A request to solve, in its gRPC frame, with these entries added to its map. A message that goes on after its end is one
 * message: entries of maps add up, later ones win. Source: Protocol Buffers, "Encoding", "Last One Wins".
 */
export function withValues(frame: Buffer, fields: SolveFields, values: readonly FrontendValue[]): Buffer {
  const entries = values.map(([name, value]) => {
    const entry = Buffer.concat([textField(1, name), textField(2, value)]);
    return Buffer.concat([tagOf(fields.attributes, lengthDelimited), numberOf(entry.length), entry]);
  });
  const { hidesFromHistory } = fields;
  const hidden = hidesFromHistory === undefined ? [] : [tagOf(hidesFromHistory, varint), numberOf(1)];
  const message = Buffer.concat([frame.subarray(frameHeadBytes), ...entries, ...hidden]);
  const head = Buffer.from(frame.subarray(0, frameHeadBytes));
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function textField(field: number, text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([tagOf(field, lengthDelimited), numberOf(bytes.length), bytes]);
}

function tagOf(field: number, type: number): Buffer {
  return numberOf(field * 8 + type);
}

/** Seven bits a byte, the lowest first. */
function numberOf(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}
