import type { RunOrder } from '../wire/builds/agent-protocol.ts';
import { type ArchiveReader, startArchiveReader } from './context/unpack.ts';
import type { Cell } from './executors/cell.ts';
import { contextLimits } from './fetch-context.ts';
import { parseApart, parseWith, type StartedParser, startParser } from './parse-apart.ts';
import type { ParserName, Parsers } from './parsers.ts';
import { hasTemplates } from './quick-build.ts';

/** Reads a text as `parseApart` does, with a program that waits for such a one where there is one. */
export type Parse = <Name extends ParserName>(
  name: Name,
  input: Parsers[Name]['input'],
  options: { readonly cell: Cell; readonly signal: AbortSignal },
) => Promise<Parsers[Name]['result']>;

/**
 * Programs that a run needs in any case, to read what strangers wrote: they start while its room is made, as their start takes
 * longer than what they do. Those of a task that has steps before its builds would only take memory of these. The signal ends
 * what nobody needed.
 */
export class EarlyPrograms {
  readonly #order: RunOrder;
  readonly #signal: AbortSignal;
  readonly #parsers = new Map<ParserName, StartedParser>();
  #archives: ArchiveReader | undefined;

  constructor(order: RunOrder, signal: AbortSignal) {
    this.#order = order;
    this.#signal = signal;
  }

  /** As soon as programs can count within the limits of the run. */
  start(cell: Pick<Cell, 'beside' | 'besideTurns'>): void {
    const { source } = this.#order;
    if (source.kind === 'upload')
      this.#archives = startArchiveReader({ cell, limits: contextLimits(this.#order), signal: this.#signal });
    for (const name of neededParsers(this.#order))
      this.#parsers.set(name, startParser(name, { cell, signal: this.#signal }));
  }

  /** For the context of the run; undefined where none waits. */
  get archives(): ArchiveReader | undefined {
    return this.#archives;
  }

  readonly parse: Parse = async (name, input, options) => {
    const started = this.#parsers.get(name);
    this.#parsers.delete(name);
    if (started === undefined) return await parseApart(name, input, options);
    return await parseWith(name, input, started, options.signal);
  };
}

function neededParsers({ work }: RunOrder): readonly ParserName[] {
  if (work.kind !== 'dockerBuild') return ['task'];
  return hasTemplates(work) ? ['quickBuild', 'dockerfile'] : ['dockerfile'];
}
