import { parentPort } from 'node:worker_threads';
import { webhookReceiver } from '../test/support/webhook-receiver.ts';

/**
 * A receiver with a thread of its own: what it does for a delivery is not taken from the clients that push. Posts its address, and for
 * each message how many deliveries it has had so far.
 */
const { url, received } = await webhookReceiver();
parentPort?.on('message', () => parentPort?.postMessage(received.length));
parentPort?.postMessage(url);
