import { connect, type Socket } from 'node:net';

/** What came back over a raw connection until it closed. */
export type RawAnswer = {
  /** 0 when there was no answer. */
  readonly status: number;
  readonly head: string;
  readonly body: string;
};

/** Sends bytes exactly as they are over a new connection, and reads until the server closes it. */
export async function rawHttp(port: number, request: string | Uint8Array): Promise<RawAnswer> {
  const socket = await openSocket(port);
  socket.write(request);
  return parseAnswer(await readToEnd(socket));
}

export async function openSocket(port: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ port, host: '127.0.0.1' }, resolve).once('error', reject);
  await promise;
  // Later faults end the reading; the bytes before them are the answer.
  return socket.off('error', reject).on('error', () => {});
}

/** Everything until the connection ends or breaks, as latin1 text. */
export async function readToEnd(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once('close', () => resolve());
  await promise;
  return text;
}

export function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const head = end < 0 ? text : text.slice(0, end);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  return { status, head, body: end < 0 ? '' : text.slice(end + 4) };
}
