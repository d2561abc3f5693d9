import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { aligned } from './report/sequence-table.ts';

const help = `node bench/profile.ts FOLDER [--requests N] [--top N] [--callers NAME]

Reads the CPU profiles that \`script/bench --profile FOLDER\` left and prints where the time goes: by package or folder, by
function itself, and by function with all it calls. A call that blocks, such as a database commit, counts with its wait. With --requests the figures are microseconds per request. --callers shows who calls a function.
`;

/** Source: Chrome DevTools protocol, "Profiler.Profile". Times in microseconds. */
const profileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});
type Profile = z.infer<typeof profileSchema>;
type Node = Profile['nodes'][number];

const idle = ['(idle)', '(root)'];

/** Adds up one profile: time in functions themselves, with all they call, and by caller of one function. */
class CostSheet {
  readonly self = new Map<string, number>();
  readonly total = new Map<string, number>();
  readonly places = new Map<string, number>();
  readonly callers = new Map<string, number>();
  readonly #called: string | undefined;

  constructor(called: string | undefined) {
    this.#called = called;
  }

  add(profile: Profile): void {
    const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
    const own = new Map<number, number>();
    profile.samples.forEach((id, index) => {
      own.set(id, (own.get(id) ?? 0) + (profile.timeDeltas[index] ?? 0));
    });
    const root = profile.nodes[0];
    if (root !== undefined) this.#walk(root, { nodes, own, above: [] });
  }

  #walk(node: Node, tree: Tree): number {
    const label = labelOf(node);
    const self = tree.own.get(node.id) ?? 0;
    const below = { ...tree, above: [...tree.above, label] };
    const children = (node.children ?? []).flatMap((id) => tree.nodes.get(id) ?? []);
    const total = children.reduce((sum, child) => sum + this.#walk(child, below), self);
    add(this.self, label, self);
    add(this.places, placeOf(label), self);
    if (!tree.above.includes(label)) add(this.total, label, total);
    if (this.#called !== undefined && label.startsWith(this.#called))
      add(this.callers, tree.above.slice(-3).join(' > '), total);
    return total;
  }
}

type Tree = {
  readonly nodes: ReadonlyMap<number, Node>;
  readonly own: ReadonlyMap<number, number>;
  readonly above: readonly string[];
};

function labelOf({ callFrame }: Node): string {
  const name = callFrame.functionName === '' ? '(anonymous)' : callFrame.functionName;
  if (callFrame.url === '') return name;
  const path = callFrame.url.startsWith('file:')
    ? relative(process.cwd(), fileURLToPath(callFrame.url))
    : callFrame.url;
  return `${name} ${path}:${callFrame.lineNumber + 1}`;
}

/** `node_modules/kysely`, `src/platform/database`, `node:_http_outgoing`; a native function by its name. */
function placeOf(label: string): string {
  const path = label.split(' ').at(-1) ?? '';
  if (!path.includes(':')) return label;
  const packageName = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
  return packageName ?? path.replace(/:\d+$/, '').replace(/\/[^/]*\.ts$/, '');
}

function add(sums: Map<string, number>, label: string, microseconds: number): void {
  sums.set(label, (sums.get(label) ?? 0) + microseconds);
}

function table(
  title: string,
  sums: ReadonlyMap<string, number>,
  options: { busy: number; requests: number; top: number },
) {
  const rows = [...sums]
    .filter(([label]) => !idle.includes(label))
    .sort(([, a], [, b]) => b - a)
    .slice(0, options.top)
    .map(([label, time]) => [
      label,
      (time / options.requests).toFixed(1),
      `${((100 * time) / options.busy).toFixed(1)} %`,
    ]);
  return [title, ...aligned([['', 'us', 'of busy'], ...rows]), ''].join('\n');
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    requests: { type: 'string', default: '1' },
    top: { type: 'string', default: '40' },
    callers: { type: 'string' },
  },
});

function main(): string {
  const folder = positionals[0];
  if (folder === undefined) return help;
  const sheet = new CostSheet(values.callers);
  const files = readdirSync(folder).filter((file) => file.endsWith('.cpuprofile'));
  for (const file of files) sheet.add(profileSchema.parse(JSON.parse(readFileSync(join(folder, file), 'utf8'))));
  const busy = [...sheet.self].reduce((sum, [label, time]) => (idle.includes(label) ? sum : sum + time), 0);
  const options = { busy, requests: Number(values.requests), top: Number(values.top) };
  return [
    `${files.length} profiles, busy ${(busy / 1_000_000).toFixed(2)} s`,
    table('By package or folder', sheet.places, options),
    table('In the function itself', sheet.self, options),
    table('With all it calls', sheet.total, options),
    ...(values.callers === undefined ? [] : [table(`Callers of ${values.callers}`, sheet.callers, options)]),
  ].join('\n');
}

process.stdout.write(main());
