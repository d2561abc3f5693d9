import { SecretFinder } from '../core/secret-finder.ts';
import type { Clock } from '../platform/clock.ts';
import { SecretMask } from './secret-mask.ts';

/** Takes the log's bytes as they come, in order; resolves when they are on their way. */
export type LogSink = (bytes: Uint8Array) => Promise<void>;

export type ProgramOutput = {
  readonly add: (chunk: Uint8Array) => Promise<void>;
  readonly end: () => Promise<void>;
};

/** What our own lines may take beyond the limit. */
const ownBytes = 1024 * 1024;
const tooLong = 'The log is longer than its limit; what follows is left out.\n';

/**
 * The log of a run. Lines of ours begin with the time in UTC; output of programs is as they print it. Secrets are hidden,
 * and beyond its limit it says so and keeps only our own lines, up to 1 MiB of them. Source: ACR tasks, 1.7.
 */
export class RunLog {
  readonly #sink: LogSink;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #secrets: string[];
  /** Of programs whose output goes on. */
  readonly #masks = new Set<SecretMask>();
  #finder: SecretFinder | undefined;
  #bytes = 0;
  #isFull = false;
  #isAtLineStart = true;
  #writing: Promise<void> = Promise.resolve();

  constructor(parts: { sink: LogSink; clock: Clock; maxBytes: number; masked: readonly string[] }) {
    this.#sink = parts.sink;
    this.#clock = parts.clock;
    this.#maxBytes = parts.maxBytes;
    this.#secrets = [...parts.masked];
  }

  /** One more text that must not be seen from now on, also in what programs print that run already. */
  hide(secret: string): void {
    if (this.#secrets.includes(secret)) return;
    this.#secrets.push(secret);
    this.#finder = undefined;
    for (const mask of this.#masks) mask.learn(this.#finderOfAll());
  }

  /** A text that is shown elsewhere, without secrets. */
  masked(text: string): string {
    const mask = this.#mask();
    return `${mask.add(text)}${mask.end()}`;
  }

  /** A line of the agent's own. */
  say(text: string): void {
    const time = new Date(this.#clock.nowMicros() / 1000)
      .toISOString()
      .slice(0, 19)
      .replaceAll('-', '/')
      .replace('T', ' ');
    this.plain(`${time} ${text}\n`);
  }

  /** A text without a time, on a line of its own. */
  plain(text: string): void {
    const start = this.#isAtLineStart ? '' : '\n';
    this.#isAtLineStart = true;
    this.#write(`${start}${this.masked(text)}`, true);
  }

  /** Where one program's output goes: a character or a secret that is cut meets its other half, whatever others print. */
  output(): ProgramOutput {
    const decoder = new TextDecoder();
    const mask = this.#mask();
    this.#masks.add(mask);
    const show = (text: string) => {
      if (text !== '') this.#isAtLineStart = text.endsWith('\n');
      this.#write(text, false);
      return this.#writing;
    };
    return {
      add: (chunk) => {
        // Nobody will see it: a program that prints without end costs no search for secrets.
        if (this.#isFull) return this.#writing;
        return show(mask.add(decoder.decode(chunk, { stream: true })));
      },
      end: () => {
        this.#masks.delete(mask);
        return show(`${mask.add(decoder.decode())}${mask.end()}`);
      },
    };
  }

  /** Resolves when all of it has been taken. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  #mask(): SecretMask {
    return new SecretMask(this.#finderOfAll());
  }

  #finderOfAll(): SecretFinder {
    this.#finder ??= new SecretFinder(this.#secrets);
    return this.#finder;
  }

  #write(text: string, isOurs: boolean): void {
    if (text === '') return;
    const bytes = new TextEncoder().encode(text);
    if (isOurs && this.#bytes + bytes.byteLength > this.#maxBytes + ownBytes) return;
    if (!isOurs && this.#isFull) return;
    if (!isOurs && this.#bytes + bytes.byteLength > this.#maxBytes) {
      this.#isFull = true;
      this.#isAtLineStart = true;
      this.#send(new TextEncoder().encode(`\n${tooLong}`));
      return;
    }
    this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength;
    this.#writing = this.#writing.then(() => this.#sink(bytes));
    // Whoever awaits it gets the error too.
    this.#writing.catch(() => {});
  }
}
