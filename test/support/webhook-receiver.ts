import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export type Received = {
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
};

export type WebhookReceiver = Awaited<ReturnType<typeof webhookReceiver>>;

export type ReceiverOptions = {
  readonly tls?: { readonly cert: string; readonly key: string };
  /** The same port as one that was closed. */
  readonly port?: number;
};

/** A receiver of webhooks on loopback that keeps what it got; `answer` says what it does, 200 unless set. */
export async function webhookReceiver(
  answer: (received: Received, response: ServerResponse) => void | Promise<void> = () => {},
  { tls, port = 0 }: ReceiverOptions = {},
) {
  const received: Received[] = [];
  const listener: RequestListener = (request, response) => {
    void readBody(request).then(async (body) => {
      const { url: path = '', method = '', headers } = request;
      const one = { path, method, headers, body };
      received.push(one);
      await answer(one, response);
      if (!response.writableEnded && !response.headersSent) response.end('thanks');
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address();
  const listening = isBound(address) ? address.port : 0;
  return {
    received,
    port: listening,
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${listening}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function isBound(address: ReturnType<ReturnType<typeof createServer>['address']>): address is AddressInfo {
  return typeof address === 'object' && address !== null;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}
