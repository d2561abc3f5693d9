import { z } from 'zod';

/** What BuildKit tells of a build, a line of JSON each. Source: BuildKit, client/graph.go; buildctl `--progress=rawjson`. */
const statusSchema = z.object({
  vertexes: z
    .array(
      z.object({
        digest: z.string(),
        name: z.string().default(''),
        started: z.string().nullish(),
        completed: z.string().nullish(),
        cached: z.boolean().optional(),
        error: z.string().optional(),
      }),
    )
    .nullish(),
  logs: z.array(z.object({ vertex: z.string(), data: z.base64(), timestamp: z.string() })).nullish(),
  warnings: z.array(z.object({ vertex: z.string().optional(), short: z.base64().optional() })).nullish(),
});
type Status = z.infer<typeof statusSchema>;
type Vertex = NonNullable<Status['vertexes']>[number];

type Step = {
  readonly number: number;
  readonly decoder: TextDecoder;
  startedMs: number;
  line: string;
  isEnded: boolean;
};

const maxLineLength = 1024 * 1024;
const maxJsonLength = 16 * 1024 * 1024;

/**
 * Makes of what buildctl prints the lines that people read, as `docker build --progress=plain` has them: `#3 0.214 text`.
 * Notes the digests of the images that were used, and how the command that failed ended.
 */
export class BuildKitProgress {
  /** By full name with its tag: what BuildKit resolved it to. */
  readonly resolved = new Map<string, string>();
  /** Of the command of the Dockerfile that failed. */
  exitCode: number | undefined;
  readonly #steps = new Map<string, Step>();
  readonly #decoder = new TextDecoder();
  #waiting = '';
  #last: number | undefined;

  /** Takes bytes as they come, and returns what is to be shown now. */
  add(chunk: Uint8Array): string {
    this.#waiting += this.#decoder.decode(chunk, { stream: true });
    const lines = this.#waiting.split('\n');
    const rest = lines.pop() ?? '';
    this.#waiting = rest.length > maxJsonLength ? '' : rest;
    return lines.map((line) => this.#lineOf(line)).join('');
  }

  /** What had not come to an end. */
  end(): string {
    const open = [...this.#steps.values()].filter(({ line }) => line !== '');
    const rest = open.map((step) => this.#show(step, step.line)).join('');
    return `${rest}${this.#waiting === '' ? '' : `${this.#waiting}\n`}`;
  }

  #lineOf(line: string): string {
    const status = statusOf(line);
    if (status === undefined) return line.trim() === '' ? '' : `${line}\n`;
    return [
      ...(status.vertexes ?? []).map((vertex) => this.#begin(vertex)),
      ...(status.logs ?? []).map(({ vertex, data, timestamp }) => this.#log(vertex, data, timestamp)),
      ...(status.warnings ?? []).map(({ short }) => `WARN: ${Buffer.from(short ?? '', 'base64').toString('utf8')}\n`),
      // A step's last words come with its end.
      ...(status.vertexes ?? []).map((vertex) => this.#finish(vertex)),
    ].join('');
  }

  #begin(vertex: Vertex): string {
    const from = / FROM (\S+)@(sha256:[0-9a-f]{64})/.exec(vertex.name);
    if (from?.[1] !== undefined && from[2] !== undefined) this.resolved.set(from[1], from[2]);
    const startedMs = Date.parse(vertex.started ?? '');
    const known = this.#steps.get(vertex.digest);
    if (known !== undefined || Number.isNaN(startedMs)) return '';
    const step = { number: this.#steps.size + 1, startedMs, decoder: new TextDecoder(), line: '', isEnded: false };
    this.#steps.set(vertex.digest, step);
    return this.#write(step, vertex.name);
  }

  #log(digest: string, data: string, timestamp: string): string {
    const step = this.#steps.get(digest);
    if (step === undefined) return '';
    const text = `${step.line}${step.decoder.decode(Buffer.from(data, 'base64'), { stream: true })}`;
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    const isLong = rest.length > maxLineLength;
    step.line = isLong ? '' : rest;
    const seconds = (Date.parse(timestamp) - step.startedMs) / 1000;
    return [...lines, ...(isLong ? [rest] : [])].map((line) => this.#show(step, line, seconds)).join('');
  }

  #finish({ digest, completed, cached, error = '' }: Vertex): string {
    const step = this.#steps.get(digest);
    if (step === undefined || step.isEnded || completed === null || completed === undefined) return '';
    step.isEnded = true;
    const rest = step.line === '' ? '' : this.#show(step, step.line);
    step.line = '';
    const code = /exit code: (\d+)/.exec(error)?.[1];
    if (code !== undefined) this.exitCode = Number(code);
    const seconds = Math.max(0, (Date.parse(completed) - step.startedMs) / 1000).toFixed(1);
    const end = error !== '' ? `ERROR: ${error}` : cached === true ? 'CACHED' : `DONE ${seconds}s`;
    return `${rest}${this.#write(step, end)}`;
  }

  #show(step: Step, line: string, seconds?: number): string {
    const time = seconds === undefined || Number.isNaN(seconds) ? '' : `${Math.max(0, seconds).toFixed(3)} `;
    return this.#write(step, `${time}${line.replace(/\r$/, '')}`);
  }

  /** Steps go on side by side: an empty line stands between lines of different ones. */
  #write({ number }: Step, text: string): string {
    const isOther = this.#last !== undefined && this.#last !== number;
    this.#last = number;
    return `${isOther ? '\n' : ''}#${number} ${text}\n`;
  }
}

/** Undefined for a line that is not BuildKit's: buildctl says why it ends in words. */
function statusOf(line: string): Status | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return statusSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
