import { Client } from 'pg';
import type { Clock } from '../clock.ts';
import type { JournalWakes } from './journal-wakes.ts';

const channel = 'berth_journal';
/** PostgreSQL commits notifications one at a time, so those of many commits go out together. */
const gatherMs = 20;
const reconnectMs = 1_000;
/** A longer payload than PostgreSQL takes is sent as empty: any stream. Source: PostgreSQL 15 manual, NOTIFY. */
const maxPayloadBytes = 7_999;

/** NOTIFY and LISTEN on one connection of its own, made again when it breaks. */
export function openPostgresWakes(options: { readonly url: string; readonly clock: Clock }): JournalWakes {
  const wakes = new PostgresWakes(options.url, options.clock);
  return {
    send: (streams) => wakes.send(streams),
    onWake: (wake) => wakes.onWake(wake),
    close: () => wakes.close(),
  };
}

class PostgresWakes {
  readonly #url: string;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #gathered = new Set<string>();
  readonly #running: Promise<void>;
  #wake: (streams: readonly string[]) => void = () => {};
  #connected: Client | undefined;
  #sending: Promise<void> | undefined;

  constructor(url: string, clock: Clock) {
    this.#url = url;
    this.#clock = clock;
    this.#running = this.#stayConnected();
  }

  onWake(wake: (streams: readonly string[]) => void): void {
    this.#wake = wake;
  }

  send(streams: readonly string[]): void {
    for (const stream of streams) this.#gathered.add(stream);
    this.#sending ??= this.#sendGathered();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#running, this.#sending]);
  }

  async #stayConnected(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#listen().catch(() => {
        // The server is away: consumers look by themselves until it is back.
      });
      await this.#pause(reconnectMs);
    }
  }

  /** Resolves or throws when the connection has ended. */
  async #listen(): Promise<void> {
    const client = new Client({ connectionString: this.#url, connectionTimeoutMillis: 5_000, keepAlive: true });
    const ended = Promise.withResolvers<void>();
    client.on('error', () => ended.resolve());
    client.on('end', () => ended.resolve());
    client.on('notification', (message) => {
      this.#wake(message.payload ? message.payload.split('\n') : []);
    });
    const end = () => ended.resolve();
    this.#stop.signal.addEventListener('abort', end, { once: true });
    try {
      await client.connect();
      await client.query(`listen ${channel}`);
      this.#connected = client;
      // What was committed while nobody listened.
      this.#wake([]);
      if (!this.#stop.signal.aborted) await ended.promise;
    } finally {
      this.#connected = undefined;
      this.#stop.signal.removeEventListener('abort', end);
      await client.end().catch(() => {
        // It has ended already.
      });
    }
  }

  async #sendGathered(): Promise<void> {
    await this.#pause(gatherMs);
    const payload = [...this.#gathered].join('\n');
    this.#gathered.clear();
    this.#sending = undefined;
    const fits = Buffer.byteLength(payload) <= maxPayloadBytes;
    await this.#connected?.query('select pg_notify($1, $2)', [channel, fits ? payload : '']).catch(() => {
      // Lost with its connection: the consumers of other processes look by themselves.
    });
  }

  async #pause(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#stop.signal).catch(() => {
      // Stopping ends the pause.
    });
  }
}
