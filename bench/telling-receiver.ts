import { parentPort } from 'node:worker_threads';
import { webhookReceiver } from '../test/support/webhook-receiver.ts';

/** A receiver with a thread of its own: what it does for a delivery is not taken from the clients that push. */
parentPort?.postMessage((await webhookReceiver()).url);
